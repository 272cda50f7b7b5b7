"""The launcher for several nodes of a SLURM cluster, with srun and scontrol that only say what they were asked."""

import json
import os
import subprocess
import sys

import pytest
from torch.distributed.run import parse_args

from helpers.documentation import blocks
from helpers.environments import REPOSITORY
from lavis_sam.distributed import Launch

SCRIPT = REPOSITORY / "run_scripts" / "train_slurm_nodes.sh"
SRUN = f"""#!{sys.executable}
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""
SCONTROL = """#!/bin/sh
[ "$*" = "show hostnames gpu[07-08]" ] && printf 'gpu07\\ngpu08\\n'
"""
# Runs a copy of the script on the first of the job's nodes, as SLURM does.
SBATCH = """#!/bin/sh
export SLURM_JOB_NUM_NODES="${1#--nodes=}"
cp "$2" "$(dirname "$0")/slurm_script" && shift 2
exec sh "$(dirname "$0")/slurm_script" "$@"
"""
JOB = {
    "SLURM_JOB_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "70123",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_GPUS_ON_NODE": "8",
}


def launch(folder, *words, command=("sh", str(SCRIPT)), **variables):
    """What the script does, as a process."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("sbatch", SBATCH)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **JOB, **variables}
    environment = {name: value for name, value in environment.items() if value}
    return subprocess.run(
        [*command, *words], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60
    )


def asked(folder, *words, **variables):
    """Arguments and environment of srun."""
    done = launch(folder, *words, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_slurm_nodes_each_start_one_torchrun_that_meets_at_the_first(tmp_path):
    words, _ = asked(tmp_path, "--options", "run.seed=7", "model.prompt=two words")
    assert words[0] == "torchrun"
    found = parse_args(words[1:])
    assert (found.nnodes, found.nproc_per_node, found.rdzv_id) == ("2", "8", "70123")
    assert (found.rdzv_backend, found.rdzv_endpoint) == ("c10d", "gpu07:30123")
    assert (found.module, found.training_script) == (True, "lavis.train")
    options = found.training_script_args[found.training_script_args.index("--options") + 1 :]
    assert options[1:] == ["run.resume=auto", "run.job_id=slurm-70123", "run.seed=7", "model.prompt=two words"]


def test_slurm_command_of_the_page_on_training_starts_four_nodes(tmp_path):
    (block,) = [block for block in blocks("docs/training.md") if block.marker == "slurm"]
    done = launch(tmp_path, command=("bash", "-euc", block.text))
    assert done.returncode == 0, done.stderr
    words = parse_args(json.loads(done.stdout)[0][1:])
    assert (words.nnodes, words.rdzv_endpoint) == ("4", "gpu07:30123")
    assert words.training_script_args[-1] == "run.output_dir=/shared/output"


def test_slurm_nodes_network_is_the_users_choice(tmp_path):
    names = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "NCCL_DEBUG", "NCCL_IB_HCA")
    plain = asked(tmp_path)[1]
    assert [plain.get(name) for name in names] == [None, None, "WARN", None]
    chosen = asked(tmp_path, SAM_INTERFACE="ib0", NCCL_DEBUG="INFO", NCCL_IB_HCA="mlx5")[1]
    assert [chosen[name] for name in names] == ["ib0", "ib0", "INFO", "mlx5"]
    other = asked(tmp_path, SAM_INTERFACE="ib0", GLOO_SOCKET_IFNAME="eth0")[1]
    assert [other[name] for name in names[:2]] == ["ib0", "eth0"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SLURM_JOB_NODELIST": ""}, "start this script with sbatch"),
        ({"SLURM_GPUS_ON_NODE": ""}, "no GPU was asked for"),
    ],
)
def test_slurm_nodes_outside_a_job_starts_nothing(tmp_path, variables, message):
    done = launch(tmp_path, **variables)
    assert done.returncode != 0
    assert message in done.stderr
    assert not done.stdout


def test_ranks_of_torchrun_count_inside_a_slurm_step():
    step = {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0", "SLURM_STEP_ID": "0"}
    torchrun = {"RANK": "13", "WORLD_SIZE": "16", "LOCAL_RANK": "5"}
    assert Launch.from_environment(step | torchrun) == Launch(13, 16, 5)
