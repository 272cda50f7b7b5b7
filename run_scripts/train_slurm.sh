#!/bin/sh
#SBATCH --job-name=sam
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --signal=TERM@120
#SBATCH --requeue
# sbatch run_scripts/train_slurm.sh [--options a.b=c …]
# One task a GPU. Two minutes before its time is over the run writes a checkpoint; requeued, it continues from that.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
[ "$1" = "--options" ] && shift
srun python -m lavis.train --cfg-path projects/sam/train.yaml --options run.resume=auto "run.job_id=slurm-$SLURM_JOB_ID" "$@"
