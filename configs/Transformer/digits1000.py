# S5VH with a Transformer for its backbone on the sample dataset in 1000 frames (the table `long`):
#     python -m dataset.digits --variant digits1000
#     python preprocess.py --config configs/Transformer/digits1000.py
#     python train.py --config configs/Transformer/digits1000.py
#     python eval.py --config configs/Transformer/digits1000.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = '../S5VH/digits1000.py'

model_name = 'Transformer'
mixer = 'transformer'
