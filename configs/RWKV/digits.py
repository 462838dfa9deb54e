# S5VH with an RWKV-6 for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/RWKV/digits.py
#     python train.py --config configs/RWKV/digits.py
#     python eval.py --config configs/RWKV/digits.py --baselines
# Measured, seed 1, ties in expectation: mAP@5 .0404, @20 .0200, @100 .0083; 322 s of training on one thread, beside other work.
_base_ = '../S5VH/digits.py'

model_name = 'RWKV'
