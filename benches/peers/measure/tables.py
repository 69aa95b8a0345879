"""What the rounds say, in tables that can be pasted into benches/README.md."""

from .stats import interval, median


def print_all(setup, cases, rounds):
    """`rounds`: for each case's name, the turns of each round, the failed ones left out."""
    _print_setup(setup, max(map(len, rounds.values()), default=0))
    _print_summary(cases, rounds)
    for case in cases:
        _print_case(case, rounds[case.name])


def _print_setup(setup, count):
    machine, versions = setup["machine"], setup["versions"]
    print(f"\nCommit {setup['commit']}; {count} rounds of {setup['seconds']:g} s after {setup['warmup']:g} s of warming up; "
          f"server on core {setup['server_core']}, load on core {setup['load_core']} of {machine['cores']} "
          f"({machine['cpu']}, {machine['system']}).")
    print("Versions: " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) + ".")


def _print_summary(cases, rounds):
    # A dictionary, for its order.
    names = {name: None for case in cases for turns in rounds[case.name] for name in turns}
    names = sorted(names, key=lambda name: not name.startswith("floor-"))
    print("\nThe medians: CPU time beside the floor's of the same round, `framecast-reactor` beside mio's; of `idle`, KiB of RSS a connection.\n")
    _row("server", *(f"`{case.name}`" for case in cases))
    _row("---", *("--:" for _ in cases))
    for name in names:
        _row(name, *(_cell(case, name, rounds[case.name]) for case in cases))


def _cell(case, name, rounds):
    values = _figures(case, name, rounds) if case.is_memory else _ratios(case, name, rounds)
    return f"{median(values):.2f}" if values else ""


def _print_case(case, rounds):
    print(f"\n`{case.name}`: {case.title}.\n")
    compared = [] if case.is_memory else [f"× {case.floor}"]
    _row("server", f"{'RSS, ' if case.is_memory else 'CPU, '}{case.unit}", *compared, "least to most", "95 %", "our mark",
         "round by round")
    _row("---", *(["--:"] * len(compared)), "--:", "---", "---", "---", "---")
    for name in sorted({name for turns in rounds for name in turns}, key=lambda name: _rank(case, name, rounds)):
        figures = _figures(case, name, rounds)
        values = figures if case.is_memory else _ratios(case, name, rounds)
        if not values:
            # Its floor has failed in every round.
            _row(name, _short(median(figures)), *[""] * (len(compared) + 4))
            continue
        medians = [_short(median(figures))] + ([] if case.is_memory else [f"**{median(values):.2f}**"])
        _row(name, *medians, f"{min(values):.2f} to {max(values):.2f}", _trust(values), _mark(case, name, values),
             " ".join(f"{value:.2f}" for value in values))


def _rank(case, name, rounds):
    return not name.startswith("floor-"), median(_ratios(case, name, rounds) or _figures(case, name, rounds)), name


def _short(figure):
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def _figures(case, name, rounds):
    return [case.figure(turns[name]) for turns in rounds if name in turns]


def _ratios(case, name, rounds):
    """To the floor of the same round: what drifts from round to round has met both."""
    return [case.figure(turns[name]) / case.figure(turns[case.floor_of(name)])
            for turns in rounds if name in turns and case.floor_of(name) in turns]


def _trust(values):
    found = interval(values)
    return f"{found[0]:.2f} to {found[1]:.2f}" if found else "–"


def _mark(case, name, values):
    """Held if the median is at or under it, or if its interval reaches it; too few rounds say neither."""
    mark, trusted = case.mark_of(name), interval(values)
    if mark is None:
        return ""
    # An interval holds its median.
    return f"{mark:g}" + (f": {'held' if trusted[0] <= mark else 'missed'}" if trusted else "")


def _row(*cells):
    print("| " + " | ".join(cells) + " |")
