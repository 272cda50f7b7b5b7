#!/bin/sh
# On each of two machines with 4 GPUs: NODE_RANK=0 (then 1) MASTER_ADDR=first-machine run_scripts/train_nodes.sh
# 8 processes: batch_size_train and accum_grad_iters of the command keep 20 samples a step as near as 8 allows (24).
torchrun --nnodes=2 --node_rank="${NODE_RANK:?0 or 1}" --nproc_per_node=4 --master_addr="${MASTER_ADDR:?the first machine}" --master_port="${MASTER_PORT:-29500}" -m lavis.train --cfg-path projects/sam/train.yaml --options run.batch_size_train=3 "$@"
