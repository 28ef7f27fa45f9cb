"""Which settings exist, with which default, bounds and unit?

One frozen group per concern; an unknown key is refused. A number that only a model can know (thresholds, learnt
weights) is never a setting: it is learnt and sealed in the bundle. ``infra/settings.py`` says where values come from.

    >>> LabelSettings().horizon_bars
    48
"""

import json
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from market.errors import MarketError
from market.symbols import venue_symbol
from market.timeframe import Timeframe

__all__ = [
    "DataSettings",
    "DatabaseSettings",
    "EnsembleSettings",
    "EventSettings",
    "ExecutionSettings",
    "FeatureSettings",
    "GateSettings",
    "LabelSettings",
    "RegistrySettings",
    "RollbackSettings",
    "ServingSettings",
    "SettingsGroup",
    "ShadowSettings",
    "TrainingSettings",
    "TuningSettings",
    "UniverseSettings",
    "listed",
]


def _timeframe_name(text: str) -> str:
    try:
        return Timeframe.parse(text).name
    except MarketError as error:
        raise ValueError(f"{error.why}; {error.remedy}") from None


def _symbol_name(text: str) -> str:
    try:
        return venue_symbol(text)
    except MarketError as error:
        raise ValueError(f"{error.why}; {error.remedy}") from None


def listed(value: object) -> object:
    """A list written as one line: ``BTCUSDT,ETHUSDT`` or ``["BTCUSDT", "ETHUSDT"]``."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _all_different(value: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in value if value.count(name) > 1})
    if twice:
        raise ValueError(f"each symbol once; repeated: {', '.join(twice)}")
    return value


TimeframeName = Annotated[str, AfterValidator(_timeframe_name)]
Symbol = Annotated[str, AfterValidator(_symbol_name)]
Symbols = Annotated[tuple[Symbol, ...], NoDecode, BeforeValidator(listed), AfterValidator(_all_different)]


class SettingsGroup(BaseModel):
    """A frozen group of settings that refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class DatabaseSettings(SettingsGroup):
    """Where PostgreSQL is."""

    url: SecretStr | None = Field(
        default=None,
        description="Address of a PostgreSQL server, `postgresql+psycopg://user:password@host:5432/name`; "
        "none starts the embedded server in the home",
    )
    pool_size: int = Field(default=5, ge=1, le=100, description="Connections a process keeps open")
    connect_timeout_s: int = Field(default=10, ge=2, le=300, description="Seconds to wait for a connection")


class DataSettings(SettingsGroup):
    """Which bars are collected, from where."""

    timeframe: TimeframeName = Field(default="5m", description="Length of a bar: 1m, 5m, 15m, 1h, ...")
    exchange: str = Field(
        default="binanceusdm", pattern=r"^[a-z0-9]+$", description="Venue of the candles, as ccxt names it"
    )
    exchange_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+/?$",
        description="Origin used instead of the venue's own, for a proxy or a loopback exchange",
    )
    symbols: Symbols = Field(default=(), description="Markets to follow; none means those the lake holds")
    settle_delay_s: int = Field(
        default=5, ge=0, le=300, description="Seconds after the close until a bar counts as final"
    )
    lake_url: str | None = Field(
        default=None,
        pattern=r"^s3://[^@\s]+$",
        description="Object store of the lake, `s3://bucket/prefix?region=...`, with keys from the AWS environment; "
        "none keeps it in the home",
    )
    revise_bars: int = Field(default=3, ge=1, le=500, description="Last bars asked for again, as venues revise them")
    max_clock_skew_s: float = Field(
        default=10.0, gt=0, le=300, description="Seconds our clock and the venue's may differ before collection stops"
    )
    rate_share: float = Field(
        default=0.95, gt=0, le=1, description="Share of the request rate permitted by the venue that is used"
    )
    max_failures: int = Field(
        default=5, ge=1, le=1000, description="Requests that fail one after the other before a venue is left alone"
    )
    min_coverage: float = Field(default=0.95, ge=0.5, le=1.0, description="Share of bars a symbol must have to be used")
    history_days: int = Field(default=120, ge=1, le=3650, description="Days of history a first collection fetches")
    max_retries: int = Field(default=5, ge=0, le=20, description="Retries of one request to the venue")
    request_timeout_s: float = Field(default=15.0, ge=1, le=300, description="Seconds to wait for one answer")


class UniverseSettings(SettingsGroup):
    """Which markets belong to the universe of a day."""

    mode: Literal["fixed", "turnover"] = Field(
        default="fixed", description="fixed follows data.symbols; turnover picks the most traded markets, day by day"
    )
    top_n: int = Field(default=100, ge=1, le=1000, description="Markets picked by turnover")
    min_turnover: float = Field(
        default=0.0, ge=0, le=1e12, description="Turnover of 24 hours a market must have, in quote units"
    )
    min_price: float = Field(default=0.0, ge=0, le=1e9, description="Price a market must have, in quote units")
    min_age_days: int = Field(default=30, ge=0, le=3650, description="Days since its listing a market must have")
    quote: str = Field(default="USDT", pattern=r"^[A-Z]{2,10}$", description="Quote currency of its markets")
    include: Symbols = Field(default=(), description="Markets that always belong, whatever their turnover")
    exclude: Symbols = Field(default=(), description="Markets that never belong")
    max_age_hours: int = Field(default=48, ge=1, le=8760, description="Age at which the last snapshot is stale")

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        both = sorted(set(self.include) & set(self.exclude))
        if both:
            raise ValueError(f"included and excluded at once: {', '.join(both)}")
        return self


class FeatureSettings(SettingsGroup):
    """How features are anchored and when a row is valid; all of it is part of the contract's fingerprint."""

    reference_symbol: Symbol = Field(default="BTCUSDT", description="Market of the reference-return features")
    block_bars: int = Field(default=2016, ge=64, le=100_000, description="Bars after which state is reset")
    warmup_bars: int = Field(default=1152, ge=64, le=100_000, description="Bars replayed before a block")
    max_filled: int = Field(default=12, ge=0, le=10_000, description="Missing bars tolerated in the fill window")
    fill_window_bars: int = Field(default=288, ge=1, le=100_000, description="Bars in which missing bars are counted")
    funding_required: bool = Field(
        default=True, description="Rows with unknown funding are invalid; false: models read it as missing"
    )

    @model_validator(mode="after")
    def _fill_window_fits(self) -> Self:
        if self.fill_window_bars > self.warmup_bars:
            raise ValueError("fill_window_bars must not exceed warmup_bars: no row could be valid after a reset")
        if self.max_filled >= self.fill_window_bars:
            raise ValueError("max_filled must be less than fill_window_bars: no gap would ever be refused")
        return self


class LabelSettings(SettingsGroup):
    """Exits and costs of the simulated trades; the fingerprint of these is the label spec."""

    horizon_bars: int = Field(default=48, ge=1, le=10_000, description="Bars after which a trade is closed")
    barrier_unit: Literal["atr", "fraction"] = Field(
        default="atr", description="What profit and stop count: multiples of ATR, or fractions of the entry price"
    )
    profit: float = Field(default=4.0, gt=0, le=100, description="Distance of the profit barrier, in barrier_unit")
    stop: float = Field(default=4.0, gt=0, le=100, description="Distance of the stop barrier, in barrier_unit")
    trail: float = Field(
        default=0,
        ge=0,
        le=100,
        description="How far a stop trails the best price of the bars since entry, in barrier_unit; 0: none trails",
    )
    trail_after: float = Field(
        default=0, ge=0, le=100, description="How far ahead a trade must have been before its stop trails, barrier_unit"
    )
    taker_fee_bps: float = Field(default=5.0, ge=0, le=100, description="Fee per side, in basis points")
    slippage_bps: float = Field(
        default=1.0, ge=0, le=100, description="Slippage per side at average volatility, in bps"
    )
    slippage_vol_floor: float = Field(default=0.5, ge=0, le=10, description="Least multiple the slippage shrinks to")
    assumed_funding_bps: float = Field(
        default=0,
        ge=0,
        le=1000,
        description="Paid by either side every 8 hours in a market without any funding on record, in bps;"
        " 0 leaves its labels unresolved",
    )


class EventSettings(SettingsGroup):
    """At which bars something is decided, and who names the side; sealed into the next bundle."""

    mode: Literal["direction", "meta"] = Field(
        default="direction",
        description="direction: the model chooses the side; meta: the primary rule does, the model says if it pays",
    )
    sampling: Literal["every", "cusum"] = Field(
        default="every", description="every: each every_bars-th bar; cusum: bars at which returns add up to an event"
    )
    every_bars: int = Field(default=3, ge=1, le=1000, description="Bars from event to event, for sampling every")
    ema_weight: float = Field(default=0.4, ge=0, le=1, description="Primary rule: weight of EMA 9 over EMA 21")
    rsi_weight: float = Field(default=0.2, ge=0, le=1, description="Primary rule: weight of RSI below 30 or above 70")
    macd_weight: float = Field(default=0.4, ge=0, le=1, description="Primary rule: weight of the MACD histogram")
    primary_threshold: float = Field(default=0.6, gt=0, le=1, description="Primary rule: sum of votes that is a side")


class TrainingSettings(SettingsGroup):
    """How models are fitted walk-forward."""

    mode: Literal["expanding", "rolling"] = Field(default="expanding", description="How training windows move")
    folds: int = Field(default=5, ge=2, le=50, description="Test windows in time")
    max_days: int = Field(
        default=0, ge=0, le=36_500, description="Newest days before the shadow stretch that train; 0 takes all"
    )
    min_train_days: int = Field(default=20, ge=1, le=3650, description="Days before the first test window")
    gap_bars: int = Field(default=0, ge=0, le=100_000, description="Bars kept empty beyond each label's own end")
    seed: int = Field(default=7, ge=0, le=2**31 - 1, description="Seed of everything random in a training")
    threads: int = Field(default=0, ge=0, le=1024, description="Models fitted at a time; 0: one per core")
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description="`cuda` fits XGBoost on an NVIDIA GPU and is refused where there is none; LightGBM, whose wheels"
        " have no CUDA, and the linear model stay on the CPU. Only the CPU gives the same bytes every time",
    )
    decay_half_life_days: float = Field(
        default=0, ge=0, le=10_000, description="Days after which a training row counts half; 0: all count alike"
    )
    class_balance: Literal["none", "balanced"] = Field(
        default="none",
        description="`balanced` weighs rows so that the classes count alike in sum; the model's probabilities are"
        " brought back to the classes' own shares exactly",
    )
    learning_rate: float = Field(default=0.05, gt=0, le=1, description="Shrinkage of both tree models")
    early_stopping_rounds: int = Field(default=25, ge=1, le=10_000, description="Rounds without gain before a stop")
    early_stopping_share: float = Field(
        default=0.15, ge=0.05, le=0.5, description="Last share of a training window's time that trees stop on"
    )
    lightgbm_trees: int = Field(default=200, ge=1, le=20_000, description="Most boosting rounds of LightGBM")
    lightgbm_leaves: int = Field(default=31, ge=2, le=4096, description="Leaves of one LightGBM tree")
    min_leaf_rows: int = Field(default=100, ge=1, le=1_000_000, description="Fewest rows in a LightGBM leaf")
    lightgbm_feature_fraction: float = Field(default=0.7, gt=0, le=1, description="Share of features a tree may use")
    lightgbm_l2: float = Field(default=1.0, ge=0, le=1e6, description="L2 penalty of LightGBM leaves")
    xgboost_trees: int = Field(default=200, ge=1, le=20_000, description="Most boosting rounds of XGBoost")
    xgboost_depth: int = Field(default=5, ge=1, le=20, description="Depth of one XGBoost tree")
    xgboost_min_child_weight: float = Field(
        default=20.0, ge=0, le=1e6, description="Least sum of second derivatives in an XGBoost leaf"
    )
    xgboost_feature_fraction: float = Field(default=0.7, gt=0, le=1, description="Share of features a split may use")
    xgboost_subsample: float = Field(default=1.0, gt=0, le=1, description="Share of rows one XGBoost tree sees")
    xgboost_l2: float = Field(default=1.0, ge=0, le=1e6, description="L2 penalty of XGBoost leaves")
    logistic_c: float = Field(default=0.1, gt=0, le=1e6, description="Inverse regularisation of the logistic model")


class TuningSettings(SettingsGroup):
    """How hyper-parameters are searched inside training windows, before anything is judged."""

    trials: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Trials a kind of model and window, the settings' own first; 0 does not tune",
    )
    minutes: float = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Minutes after which a window gets no further trial; reruns may differ; 0: no limit",
    )
    windows: Literal["first", "each"] = Field(
        default="first", description="Tune inside the first training window for all, or inside each for itself"
    )
    groups: int = Field(default=4, ge=2, le=20, description="Groups in time of the inner cross-validation")
    test_groups: int = Field(default=1, ge=1, le=19, description="Groups judged at once in an inner split")
    max_rows: int = Field(
        default=30_000, ge=500, le=100_000_000, description="Rows of a study; more are thinned evenly in time"
    )

    @model_validator(mode="after")
    def _groups_left(self) -> Self:
        if self.test_groups >= self.groups:
            raise ValueError("test_groups must be less than groups: at least one group has to train")
        return self


class ExecutionSettings(SettingsGroup):
    """Where models are fitted: in threads of the process, or on a cluster, with the same bytes."""

    runner: Literal["threads", "dask", "ray"] = Field(
        default="threads", description="threads of this process, or a cluster; dask and ray are extras of the package"
    )
    address: str = Field(
        default="",
        pattern=r"^(([a-z]+://)?[^\s/:@]+:[0-9]{1,5})?$",
        description="Running cluster, `tcp://host:8786` for Dask, `ray://host:10001` for Ray; "
        "empty starts one on this machine for each training",
    )
    workers: int = Field(
        default=0, ge=0, le=10_000, description="Processes of a cluster started for a training; 0: one per core"
    )

    @model_validator(mode="after")
    def _address_of_a_cluster(self) -> Self:
        if self.address and self.runner == "threads":
            raise ValueError("an address needs the runner dask or ray: threads have none")
        return self


class EnsembleSettings(SettingsGroup):
    """How much each model counts: learnt on out-of-fold predictions within bounds, or fixed."""

    rule: Literal["learnt", "fixed"] = Field(default="learnt", description="Where weights come from")
    weight_min: float = Field(default=0.15, ge=0, le=1, description="Least weight learnt for a model (steps of 0.05)")
    weight_max: float = Field(default=0.40, ge=0, le=1, description="Largest weight learnt for a model")
    fixed_weights: str = Field(
        default="xgboost=0.25, lightgbm=0.25, nhits=0.30, patchtst=0.20",
        description="Weights of the rule `fixed` by model, sum 1; taken as shares of the models there are, and a model"
        " not named has no vote",
    )


class GateSettings(SettingsGroup):
    """What a challenger must show; a profile sets every threshold, a value given here replaces the profile's."""

    profile: Literal["paper", "strict"] = Field(default="paper", description="Table of thresholds to start from")
    min_sharpe: float | None = Field(default=None, ge=-10, le=10, description="Annualised Sharpe ratio, at least")
    min_profit_factor: float | None = Field(default=None, ge=0, le=10, description="Gains over losses, at least")
    max_drawdown: float | None = Field(
        default=None, gt=0, le=1, description="Drawdown as a fraction of equity, at most"
    )
    min_trades: int | None = Field(default=None, ge=0, le=100_000, description="Trades in the evaluation, at least")
    min_improvement: float | None = Field(default=None, ge=-1, le=1, description="Gain over the champion, at least")
    min_deflated_sharpe: float | None = Field(
        default=None, ge=0, le=1, description="Deflated Sharpe probability, at least"
    )
    max_pbo: float | None = Field(default=None, ge=0, le=1, description="Probability of backtest overfitting, at most")
    min_live_share: float | None = Field(
        default=None, ge=0, le=1, description="Share of shadow predictions made on the clock, not by replay, at least"
    )
    alpha_per_year: float = Field(
        default=0.1,
        gt=0,
        lt=0.5,
        description="Share of a year's promotions that may be false, where proof is asked for",
    )


class ShadowSettings(SettingsGroup):
    """How long a challenger runs beside the champion, and what counts as proof."""

    shadow_days: int = Field(default=14, ge=1, le=365, description="Days held back for the shadow run")
    serve_days: int = Field(default=2, ge=1, le=365, description="Days held back after it for serving")
    min_resolved: int = Field(default=100, ge=1, le=1_000_000, description="Resolved predictions, at least")
    min_independent: int = Field(
        default=50, ge=1, le=1_000_000, description="Label windows that do not overlap, at least"
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Chance of a false promotion that is accepted")


class ServingSettings(SettingsGroup):
    """What the worker may do, and when it stands still."""

    mode: Literal["observe", "paper", "live"] = Field(
        default="observe", description="observe records decisions, paper trades them on paper, live publishes signals"
    )
    max_age_bars: int = Field(default=2, ge=1, le=100, description="Age of the last bar beyond which data are stale")
    max_model_age_days: int = Field(default=90, ge=1, le=3650, description="Days after training until a model expires")
    frozen_bars: int = Field(
        default=12, ge=3, le=1000, description="Real bars in a row that are one bar repeated: such a market is frozen"
    )
    constant_predictions: int = Field(
        default=60, ge=20, le=10_000, description="The champion's answers in a row that are one answer: it is no model"
    )
    max_decision_s: float = Field(
        default=10, ge=0.1, le=3600, description="Seconds a decision may take; one that took longer is not said"
    )
    drift_block: Literal["never", "live", "always"] = Field(
        default="live",
        description="In which serving.mode critical drift keeps the champion silent; live: not in observe and paper",
    )
    drift_block_hours: int = Field(
        default=48, ge=1, le=8760, description="Age in hours beyond which a verdict of drift blocks no more"
    )
    max_error_bars: int = Field(
        default=10, ge=1, le=10_000, description="Bars in a row on which the champion fails before the worker halts"
    )
    shares: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Parts the symbols are cut into, for as many workers; each has an equal part of the limits",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis to which `lockstep publish` hands live signals, `redis://:password@host:6379/0`",
    )
    redis_stream: str = Field(
        default="lockstep:signals", pattern=r"^[A-Za-z0-9:._-]{1,200}$", description="Redis stream they are added to"
    )
    redis_keep: int = Field(
        default=1_000_000, ge=1_000, le=1_000_000_000, description="Newest entries that stream keeps, roughly"
    )


class RollbackSettings(SettingsGroup):
    """When the champion is taken back without anybody asking."""

    automatic: bool = Field(default=True, description="Roll back where a check fires; off only tells")
    harm_e_value: float = Field(
        default=20,
        gt=1,
        le=1e6,
        description="Evidence that the champion is worse than class shares, or its predecessor",
    )
    min_parity: float = Field(default=1.0, ge=0, le=1, description="Share of served feature rows that batch reproduces")
    max_degraded: float = Field(
        default=0.05, ge=0, lt=1, description="Share of signals that the champion itself could not give"
    )
    window_bars: int = Field(default=288, ge=1, le=100_000, description="Newest bars over which that share is taken")


class RegistrySettings(SettingsGroup):
    """Where models are registered."""

    model_name: str = Field(
        default="lockstep", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Name of the registered model"
    )
    tracking_uri: str | None = Field(
        default=None, repr=False, description="MLflow server or database; none uses a database beside Lockstep's own"
    )
    timeout_s: float = Field(
        default=30, ge=1, le=3600, description="Seconds an MLflow server has for one answer, retries included"
    )
    watch_s: float = Field(
        default=1, ge=0.1, le=86_400, description="Seconds between two looks of the running worker at MLflow's aliases"
    )
    keep: int = Field(default=10, ge=2, le=1000, description="Bundles kept in the local cache")
