# S5VH with an LSTM for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/LSTM/digits.py
#     python train.py --config configs/LSTM/digits.py
#     python eval.py --config configs/LSTM/digits.py --baselines
# Measured, seed 1, ties in expectation: mAP@5 .0506, @20 .0252, @100 .0102; 63 s of training on one thread, beside other work.
_base_ = '../S5VH/digits.py'

model_name = 'LSTM'
