# CSQ on Omniglot, evaluated by alphabets in place of characters; for eval.py --on, of any method (docs/pictures.md).
#     python eval.py --config configs/SHC/omniglot.py --on configs/CSQ/omniglot_alphabets.py
# Not run here. tables/published.csv has nothing of it.
_base_ = 'omniglot.py'

dataset = 'omniglot_alphabets'
data_root = 'data/omniglot/'
label_key = query_label_key = 'alphabet'
