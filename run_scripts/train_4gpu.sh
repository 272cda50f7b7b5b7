#!/bin/sh
torchrun --nproc_per_node=4 -m lavis.train --cfg-path projects/sam/train.yaml "$@"
