# S5VH on ActivityNet with every departure of the release from its paper (see ../_base_/release.py):
#     python preprocess.py --config configs/S5VH_release/act.py --nbits 64
#     python train.py --config configs/S5VH_release/act.py --nbits 64
#     python eval.py --config configs/S5VH_release/act.py --nbits 64
# Not run here. Published mAP@k, S5VH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @80  @100
#       16 0.180 0.097 0.060 0.034 0.029
#       32 0.250 0.146 0.087 0.049 0.040
#       64 0.266 0.152 0.095 0.053 0.043
_base_ = ['../S5VH/act.py', '../_base_/release.py']
