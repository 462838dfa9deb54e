# S5VH on the sample dataset under three other pairs of motions (the table `transfer`):
#     python -m dataset.digits --variant digits_slant
#     python preprocess.py --config configs/S5VH/digits_slant.py
#     python train.py --config configs/S5VH/digits_slant.py
#     python eval.py --config configs/S5VH/digits.py --on configs/S5VH/digits_slant.py
# Measured, seed 1 (reproduce.py --table transfer), AP over min(K, relevant), ties in expectation: mAP@5 .0571, @20 .0280 here; .0468, .0217
# trained on digits and evaluated on this.
_base_ = 'digits.py'

dataset = 'digits_slant'
