# S5VH on the sample dataset under three other pairs of motions (the table `transfer`):
#     python -m dataset.digits --variant digits_slant
#     python preprocess.py --config configs/S5VH/digits_slant.py
#     python train.py --config configs/S5VH/digits_slant.py
#     python eval.py --config configs/S5VH/digits.py --on configs/S5VH/digits_slant.py
# Not run here. tables/published.csv has nothing of it.
_base_ = 'digits.py'

dataset = 'digits_slant'
