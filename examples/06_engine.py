"""Run the data engine on drawn scenes; simulated people do what it asks of people.

python examples/06_engine.py WORK [SCENES] [EPOCHS] [ROUNDS]
"""

import sys
from pathlib import Path

import curate
from curate.demo_dataset import SimulatedPeople, draw_shapes


def main(work: Path, scenes: int = 32, epochs: int = 1, rounds: int = 1) -> None:
    learned = draw_shapes(work / "annotated", images=scenes // 3, seed=1)
    start = curate.train_segmenter(learned, work / "start", size=64, epochs=epochs)
    print(start.text())

    truth = draw_shapes(work / "pool", images=scenes, seed=2)
    people = SimulatedPeople(curate.read(truth))  # they know the objects, and make mistakes
    engine = curate.new_engine(
        work / "project",
        images=work / "pool/images",
        segmenter=str(start.path),
        classes=["body"],
        settings={"points_per_side": 8, "pred_iou": 0.3, "stability": 0.4},
        validation_images=16,
        rounds=rounds,
        prefill_rounds=0,
        max_bad=0.3,
        full_settings={"points_per_side": 8, "crop_layers": 0, "pred_iou": 0.3, "stability": 0.4},
        round_images=(scenes - 16) // rounds // 2 + 1,
        encoder=True,
        epochs=epochs,
    )
    while (now := engine.next()).needs == "people":
        done = people.work(engine.path)
        print(f"round {now.round}: {len(done.actions):,} actions, {done.seconds / 60:.0f} minutes")
    engine.search_prompts()
    print(engine.status().text())
    print(f"the report: {engine.report()}")
    print(engine.write(work / "dataset.json").text())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
