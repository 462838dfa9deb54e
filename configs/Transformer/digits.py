# S5VH with a Transformer for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/Transformer/digits.py
#     python train.py --config configs/Transformer/digits.py
#     python eval.py --config configs/Transformer/digits.py --baselines
# Measured, three seeds (reproduce.py --table backbones), ties in expectation: mAP@5 .0366 ± .0145, @20 .0170, @100 .0069.
_base_ = '../S5VH/digits.py'

model_name = 'Transformer'
mixer = 'transformer'
