# S5VH with a Transformer for its backbone on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/Transformer/digits.py
#     python train.py --config configs/Transformer/digits.py
#     python eval.py --config configs/Transformer/digits.py --baselines
# Measured, seed 1, ties in expectation: mAP@5 .0479, @20 .0227, @100 .0095; 122 s of training on one thread, beside other work.
_base_ = '../S5VH/digits.py'

model_name = 'Transformer'
