"""The `run` section of a configuration, as plain checked values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lavis_sam.config.settings import read_settings, setting

BATCHINGS = ("shuffled", "bucketed")
# Keys of LAVIS's `run` section that have another place here.
_MOVED = {
    "amp": "use `model.precision`",
    "dist_url": "the launcher (torchrun) decides; remove it",
    "distributed": "the launcher (torchrun) decides; remove it",
    "gpu": "the launcher (torchrun) decides; remove it",
    "max_len": "use `decoding.max_length`",
    "min_len": "use `decoding.min_length`",
    "num_beams": "use `decoding.num_beams`",
    "use_dist_eval_sampler": "evaluation is always split, each sample once; remove it",
    "world_size": "the launcher (torchrun) decides; remove it",
}


@dataclass(frozen=True)
class RunSettings:
    """Every key that `run` may hold, under LAVIS's names where LAVIS has one."""

    # What runs
    runner: str = setting("runner_sam", "registered runner")
    task: str = setting("multi_image_captioning", "registered task")
    evaluate: bool = setting(False, "only evaluate, never train")
    # Where it goes
    output_dir: str = setting("output/sam", "folder of all runs, relative to the working directory")
    job_id: str | None = setting(None, "folder of this run under output_dir; default: date and time")
    checkpoint_steps: int | None = setting(None, "optimizer steps between checkpoints within an epoch", minimum=1)
    checkpoint_epochs: int = setting(1, "epochs between checkpoints; the last epoch always has one", minimum=1)
    keep_checkpoints: int = setting(
        2, "how many of the last checkpoints stay on the disk; the best does too", minimum=1
    )
    resume: str | None = setting(None, "auto: the newest whole checkpoint of this run's folder; or a checkpoint")
    resume_ckpt_path: str | None = setting(None, "LAVIS's name of `resume` with a checkpoint")
    resume_with_changes: bool = setting(
        False, "continue although model, training data, seed or optimisation are not the checkpoint's"
    )
    overwrite: bool = setting(
        False, "begin anew in the folder of an earlier run: once all is checked, its checkpoints, log and results go"
    )
    # Optimisation
    lr_sched: str = setting("linear_warmup_cosine_step_lr", "registered learning-rate schedule")
    init_lr: float = setting(2e-5, "learning rate after the warm-up", minimum=0)
    min_lr: float = setting(0.0, "learning rate of the last step", minimum=0)
    warmup_lr: float = setting(0.0, "learning rate of the first step", minimum=0)
    warmup_steps: int = setting(0, "optimizer steps of the warm-up", minimum=0)
    lr_decay_rate: float | None = setting(None, "for LAVIS's step schedule")
    weight_decay: float = setting(0.05, "AdamW's decay; biases and norms have none", minimum=0)
    beta1: float = setting(0.9, "AdamW's first moment", minimum=0, maximum=1)
    beta2: float = setting(0.999, "AdamW's second moment", minimum=0, maximum=1)
    max_grad_norm: float | None = setting(None, "clip the gradients' total norm to this", minimum=0)
    max_epoch: int = setting(1, "passes over the training data; 0 evaluates the model as it is", minimum=0)
    batch_size_train: int = setting(1, "samples in a batch of one process", minimum=1)
    accum_grad_iters: int = setting(1, "batches that one optimizer step sums up", minimum=1)
    # Data and evaluation
    train_splits: list[str] = setting(["train"], "splits to train on")
    valid_splits: list[str] = setting([], "splits to evaluate after each epoch; the first chooses the best")
    select_best_by: str = setting("loss", "what decides which checkpoint is the best: loss, or a metric's name")
    test_splits: list[str] = setting([], "splits to evaluate at the end")
    batch_size_eval: int = setting(1, "samples in a batch of one process when evaluating", minimum=1)
    batch_gb_eval: float | None = setting(
        None,
        "in the place of batch_size_eval: the most gigabytes that answering a batch may need beside the weights",
        above=0,
    )
    decoding: dict[str, Any] = setting({}, "arguments of the model's generate; default: the published ones")
    batching: str = setting("shuffled", "bucketed: batches of samples of like size, less padding", choices=BATCHINGS)
    num_workers: int = setting(0, "data loading processes", minimum=0)
    feature_cache: str | None = setting(
        None, "folder of the vision encoder's features: what is missing is computed first, then it is let go of"
    )
    feature_cache_precision: str = setting(
        "fp32", "how they are stored; fp32 changes no number of a run", choices=("fp32", "fp16", "bf16", "int8")
    )
    feature_cache_gb: float | None = setting(None, "the most gigabytes that the folder may grow to", above=0)
    feature_crops: int | None = setting(
        None,
        "fixed random crops of each image, drawn anew every epoch; default: a new crop each time",
        minimum=1,
    )
    max_bad_samples: int = setting(0, "training samples with unusable files to skip before the run stops", minimum=0)
    max_nonfinite_steps: int = setting(0, "steps without a finite loss or gradient to skip before it stops", minimum=0)
    # The machine
    device: str = setting("auto", "auto: a GPU when there is one", choices=("auto", "cpu", "cuda"))
    compile: bool = setting(
        False, "torch.compile for the layers of ViT, Q-Former and language model; needs a C++ compiler"
    )
    seed: int = setting(42, "seed of initialisation, shuffling and augmentation", minimum=0)
    sharding: str | None = setting(
        None,
        "fsdp2: each process has a share of every parameter, for runs that train the language model or the Q-Former; "
        "null: each has all of them (DDP)",
        choices=(None, "fsdp2"),
    )
    timeout_minutes: float = setting(30.0, "how long a process waits for the others", minimum=0.01)
    # Seeing it
    log_freq: int = setting(10, "optimizer steps between progress lines without a terminal", minimum=1)
    tensorboard: bool = setting(False, "also write TensorBoard's event files")
    wandb: bool = setting(False, "also log to Weights & Biases (WANDB_MODE=offline keeps it on the disk)")

    @property
    def batch_bytes_eval(self) -> int | None:
        """`batch_gb_eval` in bytes."""
        return None if self.batch_gb_eval is None else int(self.batch_gb_eval * 1e9)

    @classmethod
    def from_config(cls, run_cfg: Mapping[str, Any]) -> "RunSettings":
        """Check a `run` section whole.

        Args:
            run_cfg: Plain or OmegaConf mapping.

        Raises:
            SamConfigurationError: Every unknown key, wrong type and value out of range, all in one message.
        """
        return read_settings(cls, run_cfg, "run", moved=_MOVED)
