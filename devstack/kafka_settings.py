"""Settings of the broker, embedded or in a container, and of its Java runtime."""

# Only the C1 compiler: a development broker is started often and runs for a short time.
JVM = (
    *("-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
    # A garbage collection stops the broker for 5 to 10 ms. With the default of 40 MB there is one every two seconds.
    "-Xmn160m",
    "--sun-misc-unsafe-memory-access=allow",  # without it, Java 25 warns about Kafka 4.1
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
    # A commit of offsets waits this long: 131 commits a second with the default, 1,642 with 0 (measured).
    "group.coordinator.append.linger.ms": "0",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker can only register again when its old session has expired: 12 s with the defaults (measured).
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
