"""A process of its own for one candidate: pinned first, then the runtime, its times, its outputs.

Run as ``python -m gateformer.baselines.worker FOLDER``; the folder holds the job and gets the
answer. Whatever a runtime does (end the process, take all memory, hang), it does it here. Imports
the standard library before it is pinned, for what starts threads as it is imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateformer.baselines.pinning import end_with, pin, share_in_huge_pages

if TYPE_CHECKING:
    from gateformer.baselines.jobs import Answer, Job


def main(arguments: Sequence[str]) -> int:
    """Do the job in a folder; returns the exit status: 0 where an answer stands there."""
    if len(arguments) != 2:
        raise SystemExit("usage: python -m gateformer.baselines.worker FOLDER")
    folder = Path(arguments[1])
    text = (folder / "job.json").read_text(encoding="utf-8")
    asked = json.loads(text)
    end_with(asked["parent"])
    pin(asked["processors"])

    from gateformer.baselines.jobs import ANSWER, JOBS
    from gateformer.flow.files import write_whole

    answer = answered(JOBS.validate_json(text), folder)
    write_whole(folder / ANSWER, answer.model_dump_json(indent=1) + "\n")
    return 0


def answered(job: Job, folder: Path) -> Answer:
    """Do a job; a failure is an answer too."""
    from gateformer.baselines.jobs import OUTPUTS, Answer
    from gateformer.quant.errors import GateformerError

    try:
        if job.task == "reference":
            import numpy as np

            from gateformer.baselines.work import NetworkWork

            if isinstance(job.work, NetworkWork):
                right = job.work.reference(job.exact, job.quantizers)
            else:
                right = job.work.reference(job.exact)
            np.save(folder / OUTPUTS, right)
            return Answer()
        return _measured(job, folder)
    except GateformerError as error:
        names = ("code", "what", "layer", "cause", "fix")
        return Answer(error=str(error), parts={name: getattr(error, name) for name in names})
    except (Exception, SystemExit) as error:
        import traceback

        # All of it goes to the log, its last line to the row.
        traceback.print_exc()
        said = " ".join(str(error).split())[:500]
        return Answer(error=f"{type(error).__name__}: {said}" if said else type(error).__name__)


def _measured(job: Job, folder: Path) -> Answer:
    import numpy as np

    from gateformer.baselines.jobs import OUTPUTS, Answer
    from gateformer.baselines.registry import candidates
    from gateformer.baselines.timing import all_outputs, calls_of, many, timed
    from gateformer.energy.meters.windows import choose, metered

    candidate = next(one for one in candidates(job.place) if one.key == job.key)
    load = os.getloadavg()[0]
    session = candidate.open(job.work, job.threads)
    try:
        times = timed(calls_of(session), job.seconds)
        # After the timing: what was timed is what is compared.
        np.save(folder / OUTPUTS, all_outputs(session))
        if candidate.device == "cuda":
            from gateformer.baselines.gpu.running import nvml_device

            meter = choose("gpu", device=nvml_device())
        else:
            meter = choose("cpu", estimate=job.estimate)
        step, steps = many(session)
        energy, note = metered(step, job.work.batch * steps, meter)
        options = {str(name): str(value) for name, value in session.options.items()}
        if job.work.kind == "decode" and (share := share_in_huge_pages()) is not None:
            options["memory in huge pages"] = f"{share:.0%}"
        return Answer(
            version=session.version,
            options=options,
            bytes=session.bytes,
            times=times,
            load=load,
            energy=energy,
            energy_note=note,
        )
    finally:
        session.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
