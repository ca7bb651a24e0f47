"""Response bodies of the job domain routes."""

from pydantic import Field

from services.api.http.openapi import Document, documented


class JobDomain(Document):
    domain_id: int = Field(examples=[7])
    domain_name: str = Field(examples=["Cloud Computing"])


TAKEN = "There is a job domain 'Cloud Computing' already."

LIST = documented(list[JobDomain], description="Every job domain, by name.", tagged=True)
ADD = documented(JobDomain, {409: TAKEN}, description="The job domain.", status_code=201)
RENAME = documented(JobDomain, {404: "There is no such job domain.", 409: TAKEN}, description="The job domain.")
