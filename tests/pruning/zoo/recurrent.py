"""Networks with a memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import TOKENS, conv, member, numbers


@member(inputs=lambda: (numbers(2, 5),))
class WordLstm(nn.Module):
    """Embedding, LSTM, dropout, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(20, 7), nn.LSTM(7, 8, batch_first=True)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 20)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.drop(self.lstm(self.embed(ids))[0]))


@member(5, 2, 12)
class TwoWays(nn.Module):
    """A bidirectional LSTM, sequence first, its last states side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.lstm = nn.Linear(12, 6), nn.LSTM(6, 5, bidirectional=True)
        self.after, self.head = nn.Linear(10, 7), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(torch.relu(self.before(x)))
        return self.head(torch.relu(self.after(torch.cat([hidden[0], hidden[1]], -1))))


@member(*TOKENS)
class TwoLayers(nn.Module):
    """A GRU of two layers; the last token counts."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(12, 6, num_layers=2, batch_first=True)
        self.after, self.head = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.gelu(self.after(self.gru(x)[0][:, -1])))


@member(*TOKENS)
class Elman(nn.Module):
    """nn.RNN with ReLU and a start that the network learns."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.start = (
            nn.RNN(12, 6, nonlinearity="relu", batch_first=True),
            nn.Parameter(torch.rand(1, 1, 6)),
        )
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x, self.start.repeat(1, len(x), 1))[0])


@member(*TOKENS)
class LstmLoop(nn.Module):
    """nn.LSTMCell in a Python loop from zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.cell, self.head = nn.Linear(12, 9), nn.LSTMCell(9, 7), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.zeros(len(x), self.cell.hidden_size, dtype=x.dtype)
        state = (hidden, hidden)
        outputs = []
        for step in self.before(x).unbind(1):
            state = self.cell(step, state)
            outputs.append(state[0])
        return self.head(torch.stack(outputs, 1))


@member(*TOKENS)
class GruLoop(nn.Module):
    """nn.GRUCell that starts by itself, with a residual around it."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.cell, self.head = nn.Linear(12, 8), nn.GRUCell(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for t in range(x.size(1)):
            step = torch.tanh(self.before(x[:, t]))
            state = self.cell(step, state) + step
        return self.head(state)


@member(2, 3, 2, 6, 6)
class ConvLstm(nn.Module):
    """Gates by one convolution over input and state side by side (Shi et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.gates, self.out = 6, conv(8, 24), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, _, height, width = x.shape
        h = c = x.new_zeros(batch, self.width, height, width)
        for t in range(steps):
            i, f, o, g = torch.chunk(self.gates(torch.cat([x[:, t], h], 1)), 4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.out(h)


@member(inputs=lambda: (torch.randn(2, 6, 12), torch.randn(2, 4, 8)))
class Seq2Seq(nn.Module):
    """A GRU encodes, another decodes with attention over the encoder's states (Luong et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(12, 8, batch_first=True), nn.GRU(8, 8, batch_first=True)
        self.query, self.join, self.head = nn.Linear(8, 8), nn.Linear(16, 7), nn.Linear(7, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        states, last = self.encoder(x)
        answers = self.decoder(y, last)[0]
        weights = torch.bmm(self.query(answers), states.transpose(1, 2)).softmax(-1)
        return self.head(torch.tanh(self.join(torch.cat((answers, torch.bmm(weights, states)), -1))))


@member(*TOKENS)
class StateSpace(nn.Module):
    """A selective scan written out, with its gate and causal depthwise convolution (Mamba, 2023)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.state, self.rank = 8, 3, 2
        self.in_proj, self.out_proj, self.head = nn.Linear(12, 16), nn.Linear(8, 12), nn.Linear(12, 4)
        self.conv = nn.Conv1d(8, 8, 3, groups=8, padding=2)
        self.x_proj, self.dt_proj = nn.Linear(8, 2 + 3 + 3, bias=False), nn.Linear(2, 8)
        self.log_a, self.d = nn.Parameter(torch.rand(8, 3)), nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.shape[1]
        u, gate = self.in_proj(x).chunk(2, dim=-1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., :tokens].transpose(1, 2))
        dt, b, c = self.x_proj(u).split([self.rank, self.state, self.state], dim=-1)
        dt = F.softplus(self.dt_proj(dt))
        decay = torch.exp(dt.unsqueeze(-1) * -torch.exp(self.log_a))
        drive = dt.unsqueeze(-1) * b.unsqueeze(2) * u.unsqueeze(-1)
        h, outputs = torch.zeros(len(x), self.inner, self.state, dtype=x.dtype), []
        for t in range(tokens):
            h = decay[:, t] * h + drive[:, t]
            outputs.append((h * c[:, t].unsqueeze(1)).sum(-1))
        y = (torch.stack(outputs, 1) + u * self.d) * F.silu(gate)
        return self.head(x + self.out_proj(y))
