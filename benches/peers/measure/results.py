"""Every round's raw results, a line each, kept from run to run."""

import json


class Results:
    """One line is one round of one case: the servers' turns in the order in which they came."""

    def __init__(self, path, setup, fresh):
        self.path, self.setup = path, setup
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        if fresh:
            lines = [line for line in lines if line["setup"]["id"] != setup["id"]]
            path.write_text("".join(_line(line) for line in lines))
        self.rounds = [line for line in lines if line["setup"]["id"] == setup["id"]]

    def add(self, case, number, turns):
        """Written when the round is whole, so that one that was cut off is begun again."""
        row = {"setup": self.setup, "case": case.name, "round": number, "turns": turns}
        self.rounds.append(row)
        with open(self.path, "a") as file:
            file.write(_line(row))

    def find(self, case, number, servers):
        """The turns of the newest such round in which all of `servers` had theirs."""
        for row in reversed(self.rounds):
            if (row["case"], row["round"]) == (case.name, number) and all(name in row["turns"] for name in servers):
                return row["turns"]
        return None


def _line(row):
    return json.dumps(row, separators=(",", ":")) + "\n"
