"""The simulated fleet: queues whose theory is known, no query uncounted; and what videos cost by their rates."""

import dataclasses

import numpy as np
import pytest

from benchmarks import fleet, fleet_costs
from benchmarks.fleet import Fleet, Simulation, spread_jobs
from tests.pipeline import ROOT, message_of

ONE = Fleet(shards=1, replicas=1, service=1.0, stragglers=0.0, queries=15_000)


def simulate(of=ONE, seed=0, **changes):
    return Simulation(dataclasses.replace(of, **changes), seed).run()


@pytest.mark.parametrize("exponential", [True, False])
def test_one_machine_is_a_queue_of_theory(exponential):
    """M/M/1 takes 1 / (1 - load) services, M/D/1 waits half as long (Pollaczek and Khinchine)."""
    load = 0.5
    found = simulate(rate=load, exponential=exponential)
    wait = load / (1 - load) * (1 if exponential else 0.5)
    assert found.delays.mean() == pytest.approx(1 + wait, rel=0.08)
    assert found.busiest == pytest.approx(load, rel=0.02)


def test_a_query_waits_for_the_slowest_of_its_shards():
    """Far below capacity: a query of 20 shards meets a straggler with the chance 1 - .99^20."""
    found = simulate(shards=20, rate=0.001, stragglers=0.01, queries=1500)
    assert (found.delays > 5).mean() == pytest.approx(1 - 0.99**20, abs=0.02)


SMALL = Fleet(shards=4, replicas=2, service=0.02, rate=30.0, queries=1000, dies_at=10.0, down_for=8.0)


@pytest.mark.parametrize("changes", [{}, {"replicas": 1}, {"hedge_after": 0.05}, {"replicas": 1, "hedge_after": 0.01},
                                     {"hot": 2.0, "stragglers": 0.2}, {"down_for": 1e6}, {"dies_at": 0.0}])
def test_every_query_is_answered_or_lost_and_a_seed_says_which(changes):
    found, again, other = (simulate(SMALL, seed, **changes) for seed in (1, 1, 2))
    assert len(found.delays) + found.lost == SMALL.queries
    assert np.array_equal(found.delays, again.delays)
    assert not np.array_equal(found.delays, other.delays)
    assert (found.lost > 0) == (changes.get("replicas") == 1)
    assert (found.delays >= 0.02 - 1e-9).all()


def test_a_death_costs_what_is_noticed_late_and_a_second_copy_hides_it():
    calm, death, hedged = (simulate(SMALL, **changes) for changes in (
        {"dies_at": None}, {}, {"hedge_after": 0.1}))
    assert calm.repeated == calm.hedged == 0
    assert death.repeated > 0
    assert calm.delays.max() < 1 < death.delays.max()
    assert hedged.delays.max() < 1
    assert hedged.hedged < 0.1 * 4 * SMALL.queries


def test_a_hot_shard_sets_the_pace():
    """Ten queries a second, a hundredth of which take ten times as long, by one replica."""
    for hot in (2.0, 4.0):
        found = simulate(SMALL, replicas=1, rate=10.0, dies_at=None, hot=hot)
        assert found.busiest == pytest.approx(10 * 0.02 * 1.09 * hot, rel=0.1)


def test_jobs_without_incident_are_even():
    assert spread_jobs(10, 40, 0.5, stragglers=0.0) == (pytest.approx(2.0), 0)
    assert spread_jobs(10, 41, 0.5, stragglers=0.0)[0] == pytest.approx(2.5)
    assert spread_jobs(1, 30, 1.0, slowdown=2.0, stragglers=1.0)[0] == pytest.approx(60)


@pytest.mark.parametrize("seed", range(5))
def test_dead_machines_cost_their_shares_only(seed):
    end, twice = spread_jobs(10, 80, 0.5, deaths=3, seed=seed)
    assert 0 < twice <= 3 * 0.5 * 3.0
    assert end >= 0.5 * 80 / 10
    assert spread_jobs(10, 80, 0.5, deaths=3, kept=1.0, seed=seed)[1] == 0
    assert spread_jobs(10, 80, 0.5, deaths=3, seed=seed) == (end, twice)
    assert spread_jobs(10, 80, 0.5, deaths=9, seed=seed)[0] > end
    assert "at least one" in message_of(lambda: spread_jobs(3, 9, 1.0, deaths=3))


def test_the_program_prints_both(monkeypatch, capsys):
    for words in (["search", "--queries", "300", "--replicas", "1", "--dies-at", "1"], ["jobs", "--deaths", "2"]):
        monkeypatch.setattr("sys.argv", ["fleet", *words])
        fleet.main()
    search, jobs = capsys.readouterr().out.splitlines()
    assert search.startswith("300 queries, 20 a second, 16 shards x 1: p50")
    assert " 0 lost" not in search
    assert "400 shares on 100 machines" in jobs


def test_the_table_of_costs_is_arithmetic():
    rates = fleet_costs.read_rates(fleet_costs.RATES) | {
        "extract_hog": 0.5, "cores_per_machine": 10, "deadline_hours": 20, "search": 1e9, "bits": 65,
        "memory_per_machine": 100e9, "memory_for_codes": 0.8, "batch": 10, "batch_seconds": 1.0, "load": 0.5,
        "queries_per_second": 40, "replicas": 2}
    assert fleet_costs.core_hours(rates, 3.6e6, "extract_hog") == 2000
    assert fleet_costs.machines(rates, 3.6e6, "extract_hog") == 10
    assert fleet_costs.code_bytes(rates, 1e9) == 16e9
    assert fleet_costs.shards(rates, 1e9) == 1  # 16 of 80 GB, and ten queries in 1 s
    assert fleet_costs.search_machines(rates, 1e9) == 8  # 40 a second of .1 s each, at half load
    assert fleet_costs.shards(rates, 1e10) == 10
    assert fleet_costs.shards(rates | {"batch_seconds": 100.0}, 1e10) == 2
    assert [fleet_costs.told_bytes(value) for value in (12, 9.9e8, 1.25e15)] == ["12 B", "990 MB", "1.2 PB"]
    assert [fleet_costs.told(value) for value in (0.123, 5, 1234, 1e6, 2.5e8, 1e10)] == [
        "0.12", "5", "1,234", "1 million", "250 million", "10 billion"]


def test_the_documented_table_is_that_of_the_rates():
    assert fleet_costs.table(fleet_costs.read_rates(fleet_costs.RATES), fleet_costs.COUNTS) in (
        ROOT / "docs/scaling.md").read_text()


@pytest.mark.parametrize(("change", "line"), [
    (lambda text: text.replace("\nencode,", "\nencoding,"), "encode, encoding are missing or unknown"),
    (lambda text: text.replace("\nload,", "\nload,-"), "load is -"), (lambda text: "a,b\n1,2\n", "no table of rates"),
    (lambda text: text.replace("\nload,", "\nload,x"), "no table of rates")])
def test_rates_that_are_none_are_refused(tmp_path, change, line):
    (tmp_path / "mine.csv").write_text(change(fleet_costs.RATES.read_text()))
    assert line in message_of(lambda: fleet_costs.read_rates(tmp_path / "mine.csv"))
