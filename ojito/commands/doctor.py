"""`ojito doctor`: examine a model, or a server, for faults that show in no loss and no message."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from argparse import Namespace
from collections.abc import Sequence

from ojito.commands.console import progress
from ojito.commands.inputs import load_model
from ojito.commands.paths import check_data, check_page
from ojito.doctor import Report, examine, examine_server
from ojito.doctor.page import page
from ojito.errors import UsageError
from ojito.evaluate import open_held_out
from ojito.records import Sample
from ojito.web_page import write_page

HEALTHY, FINDINGS = 0, 5  # 1 would be a bug of ours, and 2 a mistake of the user's
_SIGNS = {"healthy": "ok", "note": "note", "alarm": "ALARM", "skipped": "-"}
_WIDTH = 110


def run(args: Namespace) -> int:
    """Examine; return 5 where something is broken."""
    if (args.model is None) == (args.url is None):
        problem = "names no model" if args.url is None else "is a server, and MODEL a model: one at a time"
        raise UsageError(f"--url {args.url}" if args.url else "doctor", problem, "give MODEL, or --url of a server")
    if args.out is not None:
        check_page("--out", args.out)
    report = _examine_model(args) if args.url is None else _examine_server(args)
    if args.json:
        print(json.dumps(report.to_dict(), ensure_ascii=False, indent=1))
    else:
        print(_said(report))
    if args.out is not None:
        write_page(args.out, page(report))
        print(f"ojito: the findings are in {args.out}", file=sys.stderr)
    return HEALTHY if report.healthy else FINDINGS


def _examine_model(args: Namespace) -> Report:
    for flag, value in (("--model", args.served), ("--key-env", args.key_env)):
        if value is not None:
            raise UsageError(f"{flag} {value}", "is for --url", "leave it out")
    if args.data is not None:
        check_data(args.data)
    pipe = load_model(args)
    samples: Sequence[Sample] = ()
    if args.data is not None:
        samples = open_held_out(pipe, args.data, args.split or "", args.limit, args.seed or 0).rows
    with progress("examining") as tell:
        return examine(pipe, samples, limit=args.limit, progress=tell)


def _examine_server(args: Namespace) -> Report:
    key = ""
    if args.key_env is not None:
        key = os.environ.get(args.key_env, "")
        if not key:
            raise UsageError(f"--key-env {args.key_env}", "is not set in the environment", "export it")
    with progress("asking") as tell:
        return examine_server(args.url, args.served or "", key, progress=tell)


def _said(report: Report) -> str:
    """The report as text: a line for each finding, and evidence and remedy below those that are not healthy."""
    width = max(len(one.examination) for one in report.findings)
    lines = [report.patient, ""]
    for one in report.findings:
        head = f"{_SIGNS[one.severity]:<6} {one.examination:<{width}}  "
        lines.append(textwrap.fill(one.says, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)))
        if one.severity in ("note", "alarm"):
            indent = " " * len(head)
            evidence = json.dumps(one.to_dict()["evidence"], ensure_ascii=False)
            for name, text in (("evidence", evidence if one.evidence else ""), ("remedy", one.remedy)):
                if text:
                    first = f"{indent}{name}: "
                    lines.append(textwrap.fill(text, _WIDTH, initial_indent=first, subsequent_indent=indent + "  "))
    count = sum(one.severity == "healthy" for one in report.findings)
    skipped = sum(one.severity == "skipped" for one in report.findings)
    total = f"{count} of {len(report.findings)} examinations without a finding"
    total += f", {skipped} not made" if skipped else ""
    unbroken = "nothing broken was found" if skipped else "nothing is broken"
    found = f"broken: {', '.join(report.alarms)}" if report.alarms else unbroken
    return "\n".join([*lines, "", f"{total}; {found}"])
