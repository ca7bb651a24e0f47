from migrations import runner
async def test_check(database_url, owner):
    await runner.check(database_url.replace("postgresql://","postgresql+asyncpg://"))
    print(await owner.fetch("select * from view_refresh"))
