"""What does every command take and return, as one page?

Made from the commands themselves; the keys of JSON results are written down here, beside the code that prints them.
"""

from typing import Any

from typer.main import get_command

__all__ = ["RESULT_KEYS", "command_pages"]

RESULT_KEYS: dict[str, str] = {
    "demo": "`home`, `model_name`, `synthetic`, `data` (`symbols`, `bars`, `coverage`, `new_rows`, `by_symbol`), "
    "`parity` (`rows`, `identical`, `first_mismatch`), `walk_forward` (scores per model, ensemble and baseline), "
    "`training` (`bundle_hash`, `version`, …), `shadow`, `gates` (list of `name`, `measured`, `comparison`, "
    "`threshold`, `passed`, `detail`), `verdict`, `champion` (`version` or null, `reason`), `serving` (`state`, "
    "`reason`, `last_bar`, `decisions`, `actions`, `last_signals`), `drift`, `timings_s`, `report`, `pages`",
    "status": "`champion`, `challenger`, `state`, `reason`, `meaning`, `remedy`, `halted`, `last_bar_ms`, "
    "`last_bar_age_s`, `lake_last_bar_ms`, `freshness` (per source `fresh`, `watermark_ms`, `age_s`, `max_age_s`, "
    "`oldest_symbol`, `stale`), `symbols`, `synthetic`, `open_paper_trades`, `counts`, "
    "`registry` (null, or what the last look at MLflow found: `cause`, `detail`, `note`, `age_s`), `drift`, `parity`, "
    "`heartbeats`, `mode`, `armed` (null, or `bundle_hash`, `until_ms`, `who`, `why`), `home`",
    "doctor": "`checks` (list of `check`, `ok`, `detail`), `well`",
    "backfill": "`source`, `symbols` (held by the lake now), `new_rows`, `coverage` (one row per symbol); from an "
    "exchange also the keys of `collect`",
    "collect": "`source`, `symbols`, `requests`, `new_rows`, `revisions`, `open_gaps`, `missing_bars`, `delisted`, "
    "`failed` (by symbol and kind, why), `incomplete` (null, or what the run lacks; then `error` as well and exit code "
    "1), `clock_skew_ms`, `coverage`",
    "gaps": "`timeframe`, `end_ms`, `min_coverage`, `symbols` (one row each, worst first), `gaps` (open ones, longest "
    "first), `findings`, `venue`, and with --heal `healed` (`healed_gaps`, `healed_bars`, `open_gaps`, `new_rows`, "
    "`not_of_this_venue`, `failed`, `incomplete`)",
    "train": "`bundle_hash`, `version`, `model_name`, `snapshot_id`, `key`, `evaluation`, `trained_now`, `report` "
    "(path of the page, or null), `timings_s` (seconds per stage; empty where it was trained before)",
    "trials": "`snapshots` (each `snapshot_id`, `symbols`, `first_ms`, `last_ms`, `synthetic`, `counted`, `states`, "
    "`trials`)",
    "shadow": "`challenger_version`, `champion_version`, `bars`, `already_served`, `predictions`, `opened`, `closed`, "
    "`outcomes_resolved`, `outcomes_waiting`, `errors`",
    "promote": "`verdict`, `reason`, `promoted`, `gates`, `card_id`, `bundle_hash`, `version`, `champion_hash`",
    "rollback": "`version`, `bundle_hash`, `from_version`, `from_hash`, `why`, `changed`, `check_s`, `change_s`",
    "watch": "`verdict` (`quiet`, `fired` or `none`), `version`, `bundle_hash`, `checks` (list of `name`, `verdict`, "
    "`reason`, `inputs`), `action`",
    "ramp check": "`verdict` (`fired`: the stage or its clock changed, `quiet`, `unknown` or `none`), `reason`, "
    "`version`, `bundle_hash`, `from_stage`, `stage`, `capital_share`, `max_positions` (null: the policy's), `hours`, "
    "`since_ms`, `gates` (list of `name`, `measured`, `passed`, `detail`, `breach_to`)",
    "ramp show": "`model_name`, `stage`, `capital_share`, `max_positions`, `hours`, `history` (newest first, each "
    "`stage`, `bundle_hash`, `since_ms`, `reason`, `who`, `at`)",
    "scorecard": "`model_name`, `since_ms`, `until_ms`, `bundles` (each `bundle_hash`, `version`, `forecasts`, one a "
    "model and `ensemble`, and `trades`), `plot` (with --plot)",
    "drill": "`passed`, `stand_in`, `steps_s`",
    "serve": "`bars`, `already_served`, `signals`, `predictions`, `reasons`, `actions`, `funnel`, `cause`, `detail`",
    "ledger": "`bundle_hash`, `closed`, `said`, `unresolved`, `barriers`, `hit_rate`, `profit_factor`, `net_said`, "
    "`net_book`, `max_drawdown`, `open` (each `symbol`, `bar_ms`, `side`, `size`, `book_size`, `at_ms`, `verdict`, "
    "`gross`)",
    "funnel": "`bars`, `signals`, `blocked` (by cause), `held` (by rule), `said`, `adds_up`",
    "halt": "`halted`, `why`",
    "resume": "`halted`, `why`",
    "parity": "`rows`, `identical`, `first_mismatch`, `contract`, `first_ms`, `last_ms`",
    "drift": "`verdict`, `reason`, `rows`, `false_alarm_rate`, `calibration_windows`, `features`, `page` (with --html)",
    "features build": "`symbols`, `features`, `contract`, `rows`, `valid_rows`, `blocks_computed`, `blocks_cached`",
    "features show": "`symbol`, `contract`, `formulas`, `rows`",
    "features verify": "`rows`, `identical`, `first_mismatch`, `contract`, `first_ms`, `last_ms`",
    "lake show": "`place`, `kinds` (list of `kind`, `symbols`, `rows`, `revisions`, `files`, `bytes`)",
    "lake compact": "`months`, `files_before`, `files_after`, `bytes_before`, `bytes_after`",
    "models list": "`model_name`, `versions` (each with `decision`, the last one about it, or null), `champion` (null, "
    "or `version` and `bundle_hash` of what serves, also where that version was deleted in MLflow)",
    "models diff": "`versions`, `same`, `bundle_hash`, `contract`, `features` (`added`, `removed`, `reordered`), "
    "`label_spec`, `events`, `policy`, `models` (`kind` and `weight` of each), `metrics` (scores of each), `settings`, "
    "`facts`; every difference is a pair, null where one version has no such thing",
    "models show": "`version`, `bundle_hash`, `contract`, `label_spec`, `events`, and the facts sealed into the bundle",
    "models verify": "`version`, `sound`, `bundle_hash`, `golden_digest`, `load_s`, `mlflow_imported`",
    "simulate-shadow": "`seed`, `cases` (list of `worlds`, `alpha`, `promoted`, `harmed`, `naive_every_bar`, "
    "`repeated_t_test`, `median_bars`)",
    "arm": "`armed`, `bundle_hash`, `until_ms`, `who`, `why`",
    "disarm": "`armed`, `why`",
    "cards list": "`cards`",
    "cards replay": "`card_id`, `identical`, `verdict`, `verdict_now`, `changed_evidence`, `gates` "
    "(list of `name`, `same`, `then`, `now`)",
    "cards show": "`card_id`, `content_hash`, `verdict`, `reason`, `gates`, `evidence`, `bundle_hash`, `champion_hash`",
    "universe show": "`mode`, `rule`, `day`, `source`, `as_of_ms`, `content_hash`, `age_hours`, `stale`, `members`, "
    "`entered`, `left` (reason by symbol), `judged` (list of `symbol`, `member`, `change`, `reason`, `rank`, "
    "`turnover`, `price`, `age_days`); with --history `symbol`, `member`, `reason`, `day`, `stays` (list of `entered`, "
    "`why`, `left`, `why_left`)",
    "universe refresh": "the keys of `universe show` but `judged`, and `decided_now`",
    "universe build": "`rule`, `first_day`, `last_day`, `decided`, `kept`, `members`, `changes` (list of `day`, "
    "`symbol`, `change`, `reason`)",
}

_HEAD = """# The `lockstep` command

Generated by `make docs`. Every command takes `--home DIR` (default `.lockstep`, or `LOCKSTEP_HOME`) and `--help`;
those with a JSON result take `--json` and print one object on standard output. Progress and errors go to standard
error. With `--json` a refusal prints `{"error": {"what", "why", "remedy"}}`. Exit codes: 0 done, 1 refused or failed
with the reason, 2 wrong usage, 130 interrupted. Every command is safe to interrupt and to run twice.
"""


def command_pages() -> str:
    """The whole page."""
    from cli.main import app

    parts = [_HEAD]
    for name, command in sorted(_leaves(get_command(app), ())):
        parts.append(_one(name, command))
    return "\n".join(parts)


def _leaves(command: Any, path: tuple[str, ...]) -> list[tuple[str, Any]]:
    if hasattr(command, "commands"):
        return [leaf for name, child in command.commands.items() for leaf in _leaves(child, (*path, name))]
    return [(" ".join(path), command)]


def _one(name: str, command: Any) -> str:
    lines = [f"## `lockstep {name}`", "", _text(command.help), ""]
    options = [one for one in command.params if one.name not in ("home", "as_json", "help")]
    for one in options:
        spelled = ", ".join(one.opts) if one.opts and one.opts[0].startswith("-") else one.name.upper()
        lines.append(f"- `{spelled}`: {getattr(one, 'help', None) or ''}".rstrip(": "))
    if options:
        lines.append("")
    if name in RESULT_KEYS:
        lines += [f"JSON: {RESULT_KEYS[name]}.", ""]
    return "\n".join(lines)


def _text(help_text: str | None) -> str:
    paragraphs = (help_text or "").strip().split("\n\n")
    shown = []
    for paragraph in paragraphs:
        flat = " ".join(paragraph.split())
        shown.append(f"`{flat.removeprefix('Example: ')}`" if flat.startswith("Example: ") else flat)
    return "\n\n".join(shown)
