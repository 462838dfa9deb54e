# S5VHplus on the smartwatch exercises:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python preprocess.py --config configs/S5VHplus/watch.py
#     python train.py --config configs/S5VHplus/watch.py
#     python eval.py --config configs/S5VHplus/watch.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh_plus.py', '../_base_/datasets/watch.py']

nclusters = 50
