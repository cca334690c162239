"""What a reader must know to read a leaderboard, as sentences: protocol, tests, noise floor, runs that are missing."""

from __future__ import annotations

from recbole_lecdsr.data.splitting import BY_TIME
from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.leaderboard.number_texts import p_text
from recbole_lecdsr.leaderboard.placebos import compare_with_placebos
from recbole_lecdsr.leaderboard.standings import TESTED_METRIC, Standings
from recbole_lecdsr.leaderboard.study import Study
from recbole_lecdsr.runs.result import RunResult

PLACEBO_TITLE = f"Text minus placebo: {display_name(TESTED_METRIC)}"
PLACEBO_NOTE = (
    "Text minus placebo: the model with its texts minus the same model in which random vectors, those of others or a "
    "trainable user ID are in their place; ▲ favours the texts. Best: the placebo that is best in validation (the "
    "metric that selects epochs, mean of the domains and seeds), which is the one to beat. p (Holm): permutation test "
    "by user, corrected over all comparisons with placebos of the column."
)
DEVICES_DIFFER = (
    "Seconds, samples per second and memory were measured on different devices: they are comparable among runs of one "
    "device only."
)


def statements(table: Standings) -> dict[str, str]:
    """Heading -> sentence, in the order of a report."""
    study = table.study
    result = study.first_result
    sentences = {
        "Test samples": _test_samples(study),
        "Candidates": _candidates(study),
        "Split": _split(result),
        "Training": _training(result),
        "Seeds": ", ".join(map(str, study.seeds)) + ". Means ± sample standard deviation over the finished seeds.",
        "Dashes": _dashes(table),
        "Significance": _significance(table),
        "Text minus placebo": _text_minus_placebo(table),
        "Noise floor": _noise_floor(table),
        "Untrained rankings": _untrained_rankings(result),
        "Device": _devices(study),
    }
    return {
        heading: text if heading == "Device" else text[0].upper() + text[1:]
        for heading, text in sentences.items()
        if text
    }


def _devices(study: Study) -> str:
    text = "; ".join(study.devices) + "."
    return text if len(study.devices) == 1 else f"{text} {DEVICES_DIFFER}"


def _test_samples(study: Study) -> str:
    names = {part: name for part, name in study.part_names.items() if part != "overall"}
    counts = ", ".join(f"{study.samples.parts[part].sum():,} {name}" for part, name in names.items())
    return f"{counts}; {len(set(study.samples.user)):,} users.{_unseen_users(study.first_result)}"


def _unseen_users(result: RunResult) -> str:
    found = result.unseen_users or {}
    text = ""
    if number := found.get("test_samples"):
        text += (
            f" {number:,} of the samples are of {found.get('users', 0):,} users without training interactions: models "
            "that read histories rank for them by these, others by user vectors that no interaction has trained."
        )
    if left_out := found.get("left_out"):
        text += f" Not among them are {left_out:,} test interactions that are the first of their user."
    return text


def _candidates(study: Study) -> str:
    candidates = study.first_result.candidates
    mode = candidates.mode
    if mode == "full":
        items = "every item of the target's domain"
    else:
        kind = {"uni": "uniform", "pop": "popularity-weighted"}[mode[:3]]
        items = f"{mode[3:]} {kind} negatives of the target's domain, the same for every model of a seed"
    if not candidates.history_masked:
        history = "items that the user has had are included"
    elif mode == "full":
        history = "items that the user had before the target are excluded, those that come later are not"
    else:
        history = "items that the user has had at any time are excluded"
    return f"{items} ({mode}); {history}; ties count against the model."


def _split(result: RunResult) -> str:
    parameters = result.parameters
    if parameters.get("benchmark_filename"):
        return f"ready-made files {', '.join(parameters['benchmark_filename'])}."
    arguments = parameters["eval_args"]
    (kind, value), = arguments["split"].items()  # fmt: skip
    if arguments.get("group_by") == BY_TIME:
        return (
            f"by time, {kind} {value} of all interactions (group_by: none): no interaction that is later than a target "
            "was known to a model that ranked it."
        )
    return f"{kind} {value}, order {arguments.get('order')}, grouped by {arguments.get('group_by')}."


def _training(result: RunResult) -> str:
    if not result.refit:
        return ""
    return (
        "the tested models were retrained on training and validation interactions together, for the number of epochs "
        "that validation selected (refit); results without refit are not comparable."
    )


def _dashes(table: Standings) -> str:
    names = table.study.part_names
    models_of_domains: dict[str, list[str]] = {}
    for label in table.labels:
        domains = [names[part] for part in table.values[label] if part != "overall"]
        if len(domains) < len(names) - 1:
            models_of_domains.setdefault(" and ".join(domains), []).append(table.study.model_name(label))
    return " ".join(
        f"{', '.join(models)} recommend{'s' * (len(models) == 1)} in {domains} only."
        for domains, models in models_of_domains.items()
    )


def _significance(table: Standings) -> str:
    tested = max(map(len, table.comparisons.values()))
    if not tested:
        return f"not tested: {table.reference_name} shares no finished seed with another model."
    models = f"{tested} models" if tested > 1 else "one model"
    if len({len(comparisons) for comparisons in table.comparisons.values()}) > 1:
        models = "the models of a column"
    return (
        f"▲ better, ▼ worse than {table.reference_name} in {display_name(TESTED_METRIC)}: paired two-sided permutation "
        "test that flips the signs of all samples of a user together (metric averaged over the common seeds), "
        f"Holm-corrected over {models}, p < 0.05. The 95 % bootstrap intervals, over users, are those of each model "
        "by itself, not corrected. The Wilcoxon test over samples takes the samples of a user for independent and is "
        "given for information, not corrected."
    )


def _text_minus_placebo(table: Standings) -> str:
    study = table.study
    pairs = compare_with_placebos(study)
    found = []
    for pair in pairs:
        part = next(iter(pair.comparisons), None)
        if pair.is_best and part is not None:
            comparison, where = pair.comparisons[part], study.part_names[part]
            found.append(
                f"{pair.text} of {study.model_name(pair.label)} {comparison.difference:+.4f} in {where} over "
                f"{pair.placebo} (p {p_text(comparison.p_holm)})"
            )
    if not found:
        return ""
    return (
        f"{display_name(TESTED_METRIC)} over that of the placebo that is best by "
        f"{display_name(study.first_result.valid_metric)} in validation: {'; '.join(found)}. Permutation test by user, "
        f"Holm-corrected over {len(pairs)} comparisons with placebos."
    )


def _noise_floor(table: Standings) -> str:
    floor = table.noise["overall"]
    if floor is None:
        return "unknown: it takes two seeds of a model whose results depend on the seed."
    models = f"the {floor.models} models" if floor.models > 1 else "the one model"
    return (
        f"two single runs of one model with different seeds differ by {floor.difference:.4f} in overall "
        f"{display_name(TESTED_METRIC)} (root mean square over {models} whose result varies with the seed); the "
        f"largest difference is {floor.largest:.4f}, of {table.study.model_name(floor.model)}. Seed noise in a "
        "difference of means over n seeds is about 1/√n of that. The tests do not account for it."
    )


def _untrained_rankings(result: RunResult) -> str:
    values = ", ".join(
        f"{name} {parts['overall'][TESTED_METRIC]:.4f}"
        for name, parts in result.reference.items()
        if TESTED_METRIC in parts.get("overall", {})
    )
    return f"overall {display_name(TESTED_METRIC)} of rankings without a trained model: {values}." if values else ""


def missing_runs(study: Study) -> list[str]:
    """Sentences about the runs that are not in the table; seeds of a model that ended alike are listed together."""
    texts = {"failed": "failed: {}", "unfinished": "unfinished", "missing": "not started"}
    seeds_of_outcome: dict[tuple[str, str], list[int]] = {}
    for run in study.runs:
        if run.status in texts:
            outcome = texts[run.status].format(run.error)
            seeds_of_outcome.setdefault((run.label, outcome), []).append(run.seed)
    return [
        f"{study.model_name(label)}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}: {outcome}"
        for (label, outcome), seeds in seeds_of_outcome.items()
    ]


def seeds_text(study: Study, label: str) -> str:
    """Number of finished seeds of a model: ``3``, or ``2 of 3`` where runs are missing."""
    finished, total = len(study.finished_runs(label)), len(study.seeds)
    return str(finished) if finished == total else f"{finished} of {total}"
