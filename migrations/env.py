"""Alembic's entry point. It runs on the connection that ``migrations.runner`` passes, or prints SQL offline."""

from alembic import context

if context.is_offline_mode():
    # ``runner.print_sql`` prints BEGIN and COMMIT, because its transaction has more than Alembic's statements.
    context.configure(dialect_name="postgresql", literal_binds=True, transactional_ddl=False)
elif context.config.attributes["compares"]:
    from migrations.declared import METADATA, is_compared

    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        include_schemas=True,
        include_name=is_compared,
        compare_type=True,
        compare_server_default=True,
    )
else:
    context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
