# S5VH with a RetNet for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/RetNet/digits.py
#     python train.py --config configs/RetNet/digits.py
#     python eval.py --config configs/RetNet/digits.py --baselines
# Measured, seed 1, ties in expectation: mAP@5 .0521, @20 .0235, @100 .0093; 182 s of training on one thread, beside other work.
_base_ = '../S5VH/digits.py'

model_name = 'RetNet'
