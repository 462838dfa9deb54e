# S5VH with a RetNet for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/RetNet/digits.py
#     python train.py --config configs/RetNet/digits.py
#     python eval.py --config configs/RetNet/digits.py --baselines
_base_ = '../S5VH/digits.py'

model_name = 'RetNet'
