"""Settings of the broker, embedded or in a container, and of its Java runtime."""

# C1 only: a development broker spends its life starting.
JVM = (
    *("-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
    # Each collection stops it for 5 to 10 ms, and all records with it: with the default's 40 MB, every other second.
    "-Xmn160m",
    "--sun-misc-unsafe-memory-access=allow",  # which Kafka 4.1 does; Java 25 would warn
)
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "10",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "3",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    # A commit waits for this linger: 131 commits a second with the default, 1,642 without (measured).
    "group.coordinator.append.linger.ms": "0",
    "group.initial.rebalance.delay.ms": "0",
    # After kill -9 the broker can register again when its old session has expired: 12 s with the defaults (measured).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
LOG4J = """
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""
