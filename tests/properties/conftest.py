"""Every run draws the same examples, and nothing is kept between runs."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "keras_pac",
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],  # no search for an explanation: slow
    deadline=None,  # the first call of an operation takes a hundred times as long as the second
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault of a strategy
    print_blob=False,  # without a database a blob is not needed: the example is printed
)
settings.load_profile("keras_pac")
