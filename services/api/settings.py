"""Settings of the API."""

from pydantic import Field, SecretStr

from chassis.settings import ProcessSettings


class ApiSettings(ProcessSettings):
    port: int = Field(default=5000, ge=1, le=65535, description="port to listen on")
    database_pool_size: int = Field(default=20, ge=1, le=200, description="connections this process may hold")
    jwt_secret: SecretStr = Field(min_length=32, description="signs sign-in tokens and links; at least 32 characters")
    internal_secret: SecretStr = Field(
        min_length=32, description="signs the tokens with which services call each other; at least 32 characters"
    )
    storage_url: str = Field(
        description="where files are kept: file:///folder, s3://bucket, gs://bucket, az://container"
    )
    eligibility_url: str = Field(default="http://127.0.0.1:5001", description="the eligibility service")
    exporter_url: str = Field(default="http://127.0.0.1:5002", description="the exporter service")
    maintenance_url: str = Field(default="http://127.0.0.1:5003", description="the maintenance service")
    import_max_bytes: int = Field(default=512 * 1024 * 1024, ge=1024, description="largest student file accepted")
    login_failures_per_minute: int = Field(
        default=10, ge=1, description="wrong passwords for one e-mail address before it must wait"
    )
