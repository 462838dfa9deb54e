# S5VH on HMDB51 with every departure of the release from its paper (see ../_base_/release.py):
#     python preprocess.py --config configs/S5VH_release/hmdb.py --nbits 64
#     python train.py --config configs/S5VH_release/hmdb.py --nbits 64
#     python eval.py --config configs/S5VH_release/hmdb.py --nbits 64
# Not run here. Published mAP@k, S5VH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @80  @100
#       16 0.190 0.128 0.095 0.065 0.057
#       32 0.244 0.175 0.139 0.092 0.078
#       64 0.256 0.189 0.150 0.103 0.088
# The logs that came with the release were made with latent_dim_pca 512.
_base_ = ['../S5VH/hmdb.py', '../_base_/release.py']
