# S5VH with an LSTM for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/LSTM/digits.py
#     python train.py --config configs/LSTM/digits.py
#     python eval.py --config configs/LSTM/digits.py --baselines
# Measured, three seeds (reproduce.py --table backbones), ties in expectation: mAP@5 .0518 ± .0039, @20 .0255, @100 .0106.
_base_ = '../S5VH/digits.py'

model_name = 'LSTM'
mixer = 'lstm'
