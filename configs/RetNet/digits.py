# S5VH with a RetNet for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/RetNet/digits.py
#     python train.py --config configs/RetNet/digits.py
#     python eval.py --config configs/RetNet/digits.py --baselines
# Measured, three seeds (reproduce.py --table backbones), ties in expectation: mAP@5 .0524 ± .0029, @20 .0243, @100 .0097.
_base_ = '../S5VH/digits.py'

model_name = 'RetNet'
mixer = 'retnet'
