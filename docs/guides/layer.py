# %% [markdown]
# # A layer in your network
#
# Without a guide, the input guides itself.

# %%
import keras
import matplotlib.pyplot as plt
from skimage.data import astronaut

from keras_pac import PacConv2D

model = keras.Sequential([keras.Input((32, 32, 3)), PacConv2D(16, 3, guide_filters=8)])
model.summary()

# %%
plt.imshow(astronaut())
