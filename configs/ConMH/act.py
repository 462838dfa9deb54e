# ConMH on ActivityNet, at 16, 32 or 64 bits:
#     python train.py --config configs/ConMH/act.py --nbits 64
#     python eval.py --config configs/ConMH/act.py --nbits 64
# Not run here. Published mAP@k, ConMH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.156 0.081 0.050 0.036 0.029 0.024
#       32 0.229 0.124 0.075 0.054 0.042 0.035
#       64 0.267 0.150 0.092 0.066 0.051 0.042
_base_ = ['../_base_/conmh.py', '../_base_/datasets/act.py']

num_epochs = 500
alpha = 0.2
tau_plus = 0.05
eval_every = 50
