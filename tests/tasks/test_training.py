"""What identifies a training is everything it reads."""

from infra.bootstrap import open_app
from tasks.training import training_request


def test_the_snapshot_of_the_newest_days_holds_what_warms_them_up(home):
    """A bar that is revised there changes features, so it must change the snapshot and with it the training."""
    with open_app(home, overrides={"training.max_days": 2}) as app:
        request = training_request(app)
        contract, first = request.window.contract, request.window.stretches.first
        begin = first - first % contract.block_bars - contract.warmup_bars
        held = int(app.lake.candles("SYNBTCUSDT", request.window.timeframe).open_time[0])
    assert first - begin > 288
    assert request.snapshot.first_ms <= max(held, request.window.timeframe.open_time(begin))
