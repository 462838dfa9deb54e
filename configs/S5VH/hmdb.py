# S5VH on HMDB51, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/S5VH/hmdb.py --nbits 64
#     python train.py --config configs/S5VH/hmdb.py --nbits 64
#     python eval.py --config configs/S5VH/hmdb.py --nbits 64
# Not run here. Published mAP@k, S5VH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @80  @100
#       16 0.190 0.128 0.095 0.065 0.057
#       32 0.244 0.175 0.139 0.092 0.078
#       64 0.256 0.189 0.150 0.103 0.088
# The logs that came with the release were made with latent_dim_pca 512.
_base_ = ['../_base_/s5vh.py', '../_base_/datasets/hmdb.py']

latent_dim_pca = 1024
alpha = 1.0
tau_plus = 0.05
a_cluster = 0.1
nclusters = 100
