"""A finished sweep of two rows and two seeds, written without training anything."""

from lavis_sam.evaluation.run_folder import write_results
from lavis_sam.files import write_json, write_text
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import score

TRUTHS = ["a red chair near a window", "two dogs on the grass", "a woman in a blue dress"]
WRONG = ["a green lamp near a door", "three cats on the sofa", "a man in a red coat"]


def write_sweep(out, *, failed=None, missing=None, other_data=None, answer=None):
    rows = {"base": ("InstructBLIP", False), "sam": ("SAM", True)}
    write_json(
        out / "sweep.json",
        {
            "config": {},
            "evaluate": [],
            "seeds": [0, 1],
            "rows": {name: {"title": title, "train": train, "options": {}} for name, (title, train) in rows.items()},
            "compare": [["base", "sam"]],
        },
    )
    for row, (_, train) in rows.items():
        for seed in (0, 1):
            if (row, seed) == missing:
                continue
            state = {"row": row, "seed": seed, "status": "finished", "seconds": 1.0, "message": ""}
            if (row, seed) == failed:
                state |= {"status": "failed", "message": "lavis.train ended with code 2: <b>no room</b>"}
            write_json(out / "jobs" / f"{row}.seed-{seed}.json", state)
            truths = ["something else entirely", *TRUTHS[1:]] if (row, seed) == other_data else TRUTHS
            texts = list(TRUTHS) if row == "sam" else [*WRONG[: 2 + seed], *TRUTHS[2 + seed :]]
            if answer and row == "base":
                texts[0] = answer
            predictions = [
                Prediction(number, text, truth, (truth,))
                for number, (text, truth) in enumerate(zip(texts, truths, strict=True))
            ]
            folder = out / row / f"seed-{seed}"
            write_results(
                folder / "result" / "test" / "mmlink", predictions, score(predictions, "sam"), dataset="mmlink"
            )
            events = [
                f'{{"event": "train", "time": 0, "step": {step}, "loss": {3.0 - step}, "lr": 0.1}}' for step in range(2)
            ]
            last = '{"event": "epoch"}' if (row, seed) == failed else '{"event": "finished"}'
            write_text(folder / "log.jsonl", "\n".join([*(events if train else []), last]) + "\n")
