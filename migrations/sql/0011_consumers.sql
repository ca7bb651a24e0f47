-- A consumer that gets nothing looks whether the relay sends at all (chassis/bus.py). Maintenance may read it already.
GRANT SELECT ON es.outbox TO placewire_eligibility, placewire_exporter;
