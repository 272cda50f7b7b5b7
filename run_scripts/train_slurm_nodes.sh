#!/bin/sh
#SBATCH --job-name=sam
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --signal=TERM@120
#SBATCH --requeue
# sbatch --nodes=4 run_scripts/train_slurm_nodes.sh [--options a.b=c …]
# One torchrun on each node, one process a GPU; the nodes meet at the first one. Two minutes before its time is over the
# run ends with a checkpoint (torchrun gives it 30 s for the step under way and the file); requeued, it continues.
# 16 processes: one sample a process, 16 samples a step, as near to the recipe's 20 as they allow.
#
# InfiniBand. NCCL finds it by itself; what follows helps where it does not. Set a variable before sbatch to change it.
#   SAM_INTERFACE=ib0     the network of the first contact and of the numbers that go over gloo (`ip -brief address`)
#   NCCL_IB_HCA=mlx5      which adapters carry gradients (`ibstat`); mlx5_0,mlx5_1 names them one by one
#   NCCL_IB_GID_INDEX=3   for RoCE, that is InfiniBand's protocol over Ethernet
#   NCCL_NET_GDR_LEVEL=PHB   GPUs and adapters exchange data directly where they share a host bridge
#   NCCL_IB_DISABLE=1     without InfiniBand, to see whether it is at fault
#   NCCL_DEBUG=INFO       says at the start which network is used: "NET/IB" is InfiniBand, "NET/Socket" is not
export NCCL_DEBUG="${NCCL_DEBUG:-WARN}"
if [ -n "$SAM_INTERFACE" ]; then
    export NCCL_SOCKET_IFNAME="${NCCL_SOCKET_IFNAME:-$SAM_INTERFACE}" GLOO_SOCKET_IFNAME="${GLOO_SOCKET_IFNAME:-$SAM_INTERFACE}"
fi
FIRST_NODE=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
: "${FIRST_NODE:?scontrol names no node of this job: start this script with sbatch}"
PORT=$((20000 + SLURM_JOB_ID % 20000))
[ "$1" = "--options" ] && shift
srun torchrun --nnodes="$SLURM_JOB_NUM_NODES" --nproc_per_node="${SLURM_GPUS_ON_NODE:?no GPU was asked for}" --rdzv_id="$SLURM_JOB_ID" --rdzv_backend=c10d --rdzv_endpoint="$FIRST_NODE:$PORT" -m lavis.train --cfg-path projects/sam/train.yaml --options run.batch_size_train=1 run.resume=auto "run.job_id=slurm-$SLURM_JOB_ID" "$@"
