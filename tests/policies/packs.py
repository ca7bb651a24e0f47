"""The published policies of this folder, with their cases."""

from dataclasses import dataclass
from pathlib import Path

from contracts.policy.document import Policy
from services.api.policy.cases import Case, CaseFile
from services.api.policy.located import Located
from services.api.policy.parsing import parse_as, parse_policy, read_document

FOLDER = Path(__file__).parent
NAMES = sorted(path.name.removesuffix(".policy.yaml") for path in FOLDER.glob("*.policy.yaml"))


@dataclass(frozen=True)
class Pack:
    name: str
    policy: Policy
    document: Located
    file: CaseFile

    @property
    def cases(self) -> list[Case]:
        return self.file.cases


def pack(name: str) -> Pack:
    """Return one policy and its cases."""
    policy, document = parse_policy((FOLDER / f"{name}.policy.yaml").read_bytes())
    cases = parse_as(CaseFile, read_document((FOLDER / f"{name}.cases.yaml").read_bytes()))
    return Pack(name, policy, document, cases)


PACKS = [pack(name) for name in NAMES]
