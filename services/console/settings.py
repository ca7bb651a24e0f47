"""Settings of the console."""

from pydantic import AnyHttpUrl, Field, SecretStr, TypeAdapter, field_validator

from chassis.settings import BrowserAssetsSettings, ServerSettings, TimeZoneSettings

HTTP_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


class ConsoleSettings(ServerSettings, BrowserAssetsSettings, TimeZoneSettings):
    port: int = Field(default=5005, ge=1, le=65535, description="port to listen on")
    api_url: str = Field(default="http://127.0.0.1:5000", description="where the console reaches the API")
    console_secret: SecretStr = Field(
        min_length=32, description="encrypts the console's sign-in cookies; at least 32 characters"
    )
    console_secret_previous: SecretStr | None = Field(
        default=None, min_length=32, description="the previous CONSOLE_SECRET, whose cookies are still accepted"
    )
    public_url: str | None = Field(
        default=None,
        description="the address at which people open the system, such as https://host. With https, cookies need TLS",
    )

    @field_validator("console_secret_previous", "public_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("api_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return str(HTTP_URL.validate_python(url)).rstrip("/")

    @property
    def console_secrets(self) -> list[str]:
        """Return the secret that encrypts cookies, then the previous one, if it is set."""
        secrets = (self.console_secret, self.console_secret_previous)
        return [secret.get_secret_value() for secret in secrets if secret is not None]
