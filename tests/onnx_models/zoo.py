"""Small classifiers of the families that people upload, as torch modules with random weights."""

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    def __init__(self, body, shortcut=None, after=None):
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut or nn.Identity(), after or nn.Identity()

    def forward(self, x):
        return self.after(self.body(x) + self.shortcut(x))


class Parallel(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels, hard):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.squash = nn.Hardsigmoid() if hard else nn.Sigmoid()

    def forward(self, x):
        return x * self.squash(self.up(torch.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))))


class Shuffle(nn.Module):
    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Permute(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(*self.order)


class Attention(nn.Module):
    def __init__(self, width, heads, fused):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.mix(x).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = torch.einsum("nhqk,nhkd->nhqd", ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1), v)
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))


class ViT(nn.Module):
    def __init__(self, fused=True, layers=2, width=32, classes=10):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 17, width))
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    Residual(nn.Sequential(nn.LayerNorm(width), Attention(width, 4, fused))),
                    Residual(nn.Sequential(nn.LayerNorm(width), mlp(width, 64, width, nn.GELU()))),
                )
                for _ in range(layers)
            )
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.layers(x)[:, 0])


class Encoder(nn.Module):
    """torch's own transformer layers."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.1)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.layer(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class Pyramid(nn.Module):
    """Goes down and up again, as a network for segmentation does."""

    def __init__(self):
        super().__init__()
        self.first, self.down = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up, self.head = nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1), nn.Linear(16, 10)

    def forward(self, x):
        first = torch.relu(self.first(x))
        deep = torch.relu(self.down(first))
        smooth = functional.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(torch.cat([self.up(deep) + first, smooth], 1).mean((2, 3)))


def mlp(*parts):
    width, hidden, out, activation = parts
    return nn.Sequential(nn.Linear(width, hidden), activation, nn.Linear(hidden, out))


def block(inside, outside, size=3, activation=nn.ReLU, **options):
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, padding=size // 2, bias=False, **options),
        nn.BatchNorm2d(outside),
        activation(),
    )


def head(channels, classes=10):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def inverted(inside, outside, stride, activation, gate=None):
    return nn.Sequential(
        block(inside, 24, 1, activation),
        block(24, 24, 3, activation, groups=24, stride=stride),
        *([gate] if gate else []),
        nn.Conv2d(24, outside, 1, bias=False),
        nn.BatchNorm2d(outside),
    )


IMAGE = (3, 16, 16)
ZOO = {
    "cnn": (lambda: nn.Sequential(block(3, 8), nn.MaxPool2d(2), block(8, 16), head(16)), IMAGE),
    "lenet": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 8, 5),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(32, 32),
            nn.Tanh(),
            nn.Linear(32, 10),
        ),
        (1, 16, 16),
    ),
    "vgg": (
        lambda: nn.Sequential(
            block(3, 8),
            block(8, 8),
            nn.MaxPool2d(2, 2),
            block(8, 16),
            nn.MaxPool2d(3, 2, 1, ceil_mode=True),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(400, 10),
        ),
        IMAGE,
    ),
    "resnet": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            Residual(nn.Sequential(block(8, 8), nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8)), None, nn.ReLU()),
            Residual(nn.Sequential(block(8, 16, stride=2), block(16, 16)), nn.Conv2d(8, 16, 1, 2), nn.ReLU()),
            head(16),
        ),
        (3, 32, 32),
    ),
    "mobilenet_v2": (
        lambda: nn.Sequential(
            block(3, 8, activation=nn.ReLU6),
            Residual(inverted(8, 8, 1, nn.ReLU6)),
            inverted(8, 16, 2, nn.ReLU6),
            nn.Dropout(0.2),
            head(16),
        ),
        IMAGE,
    ),
    "mobilenet_v3": (
        lambda: nn.Sequential(
            block(3, 8, activation=nn.Hardswish),
            Residual(inverted(8, 8, 1, nn.Hardswish, Gate(24, hard=True))),
            head(8),
        ),
        IMAGE,
    ),
    "efficientnet": (
        lambda: nn.Sequential(
            block(3, 8, activation=nn.SiLU), Residual(inverted(8, 8, 1, nn.SiLU, Gate(24, hard=False))), head(8)
        ),
        IMAGE,
    ),
    "shufflenet": (
        lambda: nn.Sequential(block(3, 8), block(8, 8, 1, groups=2), Shuffle(), block(8, 8, groups=8), head(8)),
        IMAGE,
    ),
    "densenet": (
        lambda: nn.Sequential(block(3, 8), Parallel(nn.Identity(), block(8, 4)), nn.AvgPool2d(2), head(12)),
        IMAGE,
    ),
    "squeezenet": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, 2),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1),
            nn.ReLU(),
            Parallel(nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, padding=1)),
            nn.ReLU(),
            nn.Conv2d(16, 10, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        IMAGE,
    ),
    "inception": (
        lambda: nn.Sequential(
            Parallel(
                block(3, 4, 1),
                block(3, 4, 5),
                nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), block(3, 4, 1)),
            ),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 10),
        ),
        IMAGE,
    ),
    "convnext": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 4, 4),
            Residual(
                nn.Sequential(
                    nn.Conv2d(16, 16, 7, padding=3, groups=16),
                    Permute(0, 2, 3, 1),
                    nn.LayerNorm(16),
                    mlp(16, 64, 16, nn.GELU()),
                    Permute(0, 3, 1, 2),
                )
            ),
            head(16),
        ),
        IMAGE,
    ),
    "vit": (lambda: ViT(fused=True), IMAGE),
    "vit_einsum": (lambda: ViT(fused=False), IMAGE),
    "transformer_layer": (Encoder, IMAGE),
    "mixer": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 4, 4),
            nn.Flatten(2),
            Residual(nn.Sequential(nn.LayerNorm(16), mlp(16, 32, 16, nn.GELU(approximate="tanh")))),
            Permute(0, 2, 1),
            Residual(nn.Sequential(nn.LayerNorm(16), mlp(16, 32, 16, nn.GELU()))),
            nn.Flatten(),
            nn.Linear(256, 10),
        ),
        IMAGE,
    ),
    "pyramid": (Pyramid, IMAGE),
    "group_norm": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, dilation=2), nn.GroupNorm(4, 8), nn.Mish(), head(8)),
        IMAGE,
    ),
    "instance_norm": (
        lambda: nn.Sequential(
            nn.ReflectionPad2d(2), nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU(0.1), head(8)
        ),
        IMAGE,
    ),
    "activations": (
        lambda: nn.Sequential(
            nn.ZeroPad2d((1, 2, 0, 1)),
            nn.Conv2d(3, 8, 3, (2, 1)),
            nn.PReLU(8),
            nn.Conv2d(8, 8, 1),
            nn.ELU(),
            nn.PixelShuffle(2),
            nn.Conv2d(2, 8, 3),
            nn.SELU(),
            nn.Softplus(),
            head(8),
        ),
        (3, 15, 15),
    ),
    "one_dimension": (
        lambda: nn.Sequential(
            nn.Conv1d(1, 8, 8, padding=4),
            nn.BatchNorm1d(8),
            nn.ELU(),
            nn.MaxPool1d(4, 2, 1),
            nn.Conv1d(8, 8, 5),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        ),
        (1, 64),
    ),
    "three_dimensions": (
        lambda: nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(108, 4)),
        (1, 8, 8, 8),
    ),
    "mlp": (lambda: nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3)), (20,)),
    "mlp_softmax": (lambda: nn.Sequential(mlp(20, 16, 3, nn.Sigmoid()), nn.Softmax(1)), (20,)),
}
BY_DEFAULT_EXPORTER = (
    "cnn",
    "resnet",
    "mobilenet_v3",
    "vgg",
    "convnext",
    "vit",
    "vit_einsum",
    "pyramid",
    "mlp_softmax",
)


def make(name, rows=5):
    """The module with statistics and weights that are not those of initialisation, and inputs for it."""
    torch.manual_seed(sum(map(ord, name)))
    build, shape = ZOO[name]
    module, x = build(), torch.rand(rows, *shape)
    module(torch.rand(16, *shape))
    return module.eval(), x
