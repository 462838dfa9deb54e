# S5VH with an RWKV-6 for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/RWKV/digits.py
#     python train.py --config configs/RWKV/digits.py
#     python eval.py --config configs/RWKV/digits.py --baselines
# Measured, three seeds (reproduce.py --table backbones), ties in expectation: mAP@5 .0455 ± .0056, @20 .0219, @100 .0090.
_base_ = '../S5VH/digits.py'

model_name = 'RWKV'
mixer = 'rwkv'
