"""The most profitable trade with a pool of several assets, at given prices: bought, sold and left
alone are decided together, in one unknown.
"""

import numpy as np

from walras_solvers.pools.arrays import Stable, Weighted
from walras_solvers.pools.compiled import Reals, compiled

ROUNDS = 100
"""Of a search that Newton's method mostly ends after five."""

EXACT = 1e-15


@compiled
def trade_weighted(pool: Weighted, v: int, root: Reals, net: Reals, weight: Reals) -> float:
    """The trade with pool v: its gain; writes `net` by place and `weight` by edge of the pool.

    With x = log λ a balance R goes to λ·w/ν where it is sold from the pool, to (1 − fee)·λ·w/ν
    where it is bought, and stays in between. λ is where Σ w·log(R'/R) = 0, which is piecewise
    linear in x.
    """
    first, n = pool.start[v], pool.start[v + 1] - pool.start[v]
    toll = -np.log(pool.kept[v])
    weight[: n * (n - 1) // 2] = 0.0
    net[:n] = 0.0
    if root[pool.asset[first]] == 0.0:
        return 0.0
    least, greatest = np.inf, -np.inf
    for k in range(n):
        # The log of the asset's marginal worth, in units of λ.
        net[k] = pool.level[first + k] + 2.0 * np.log(root[pool.asset[first + k]])
        least, greatest = min(least, net[k]), max(greatest, net[k])
    low, high = least + toll, greatest
    if low >= high:
        net[:n] = 0.0
        return 0.0
    x = 0.5 * (low + high)
    active = 0.0
    for _ in range(ROUNDS):
        f = active = 0.0
        for k in range(n):
            change, moves = _change(x - net[k], toll, pool.room[first + k])
            f += pool.weight[first + k] * change
            active += pool.weight[first + k] if moves else 0.0
        if f > 0.0:
            high = x
        else:
            low = x
        moved = x - f / active if active > 0.0 else low
        if not low <= moved <= high:
            moved = 0.5 * (low + high)
        if abs(moved - x) <= EXACT:
            break
        x = moved
    scale = np.exp(x) / active if active > 0.0 else 0.0
    e = 0
    for i in range(n):
        _, moves = _change(x - net[i], toll, pool.room[first + i])
        for j in range(i + 1, n):
            _, moves_too = _change(x - net[j], toll, pool.room[first + j])
            if moves and moves_too:
                weight[e] = scale * pool.weight[first + i] * pool.weight[first + j]
            e += 1
    value = 0.0
    for k in range(n):
        change, _ = _change(x - net[k], toll, pool.room[first + k])
        part = -pool.balance[first + k] * np.expm1(change)
        net[k] = part / pool.kept[v] if part < 0.0 else part
        value += root[pool.asset[first + k]] ** 2 * net[k]
    return value


@compiled
def _change(gap: float, toll: float, room: float) -> tuple[float, bool]:
    """The log of a balance's change, and whether it goes on with λ; gap = x − the asset's level."""
    if gap < 0.0:
        return gap, True
    if gap > toll:
        return min(gap - toll, room), gap - toll < room
    return 0.0, False


@compiled
def trade_stable(pool: Stable, v: int, root: Reals, net: Reals, weight: Reals) -> float:
    """The trade with pool v: its gain; writes `net` by place and `weight` by edge of the pool.

    In shares y of D the invariant is a·Σy + 1 = a + q with a = A·n^n and q = 1/(n^n·∏y), and an
    asset's marginal is m = a + q/y. With λ the worth of the invariant, y goes to q/(c/λ − a) where
    c, the worth of one D of the asset after fees, is above λ·m or below it, and stays in between.
    Given λ, log q is found from q's definition, which is piecewise linear in it; λ from the
    invariant.
    """
    first, n = pool.start[v], pool.start[v + 1] - pool.start[v]
    a, kept_in, kept_out = pool.amplification[v], pool.kept_in[v], pool.kept_out[v]
    weight[: n * (n - 1) // 2] = 0.0
    net[:n] = 0.0
    if root[pool.asset[first]] == 0.0:
        return 0.0
    log_q = -n * np.log(n)
    for k in range(n):
        log_q -= np.log(pool.share[first + k])
    q = np.exp(log_q)
    low, high, limit = np.inf, 0.0, np.inf
    for k in range(n):
        s = root[pool.asset[first + k]]
        worth = s * s * pool.unit[first + k]
        level = worth / (a + q / pool.share[first + k])
        low, high = min(low, level / kept_in), max(high, level * kept_out)
        limit = min(limit, worth / (kept_in * a))
    if low >= high:
        return 0.0
    scale = np.sqrt(low * min(high, limit))
    bottom, top = 0.0, limit  # from there on any amount of some asset would be bought
    for _ in range(ROUNDS):
        log_q = _log_q(pool, v, root, scale, log_q)
        q = np.exp(log_q)
        error, slope = 1.0 - a - q, 0.0
        steep = count = bend = 0.0
        for k in range(n):
            y, rise = _share(pool, v, k, root, scale, q)
            error += a * y
            if rise > 0.0:
                count += 1.0
                steep += rise
                bend += a * y
                slope += a * y * rise
        # By log λ, with log q following; above 0, so that the error grows with λ.
        slope -= (bend - q) * steep / (1.0 + count)
        if error > 0.0:
            top = scale
        else:
            bottom = scale
        step = -error / slope if slope != 0.0 else 0.0
        moved = scale * np.exp(min(max(step, -50.0), 50.0))
        if not bottom < moved < top:
            moved = np.sqrt(bottom * top) if bottom > 0.0 else 0.25 * scale
        if abs(moved - scale) <= EXACT * scale or top - bottom <= EXACT * top:
            break
        scale = moved
    q = np.exp(log_q)
    value = 0.0
    for k in range(n):
        y, _ = _share(pool, v, k, root, scale, q)
        s, start = root[pool.asset[first + k]], pool.share[first + k]
        part = (start - y) * kept_out if y < start else (start - y) / kept_in
        net[k] = part * pool.unit[first + k]
        value += s * s * net[k]
    _bend_stable(pool, v, root, scale, q, weight)
    return value


@compiled
def _share(
    pool: Stable, v: int, k: int, root: Reals, scale: float, q: float
) -> tuple[float, float]:
    """Where the share of asset k goes, and how log y grows with log λ there, log q apart."""
    place = pool.start[v] + k
    a, start = pool.amplification[v], pool.share[place]
    s = root[pool.asset[place]]
    worth = s * s * pool.unit[place] / scale
    sold = worth * pool.kept_out[v] - a
    if sold > 0.0 and q < start * sold:
        return q / sold, 1.0 + a / sold
    bought = worth / pool.kept_in[v] - a
    if q > start * bought:  # the search stays where `bought` is above 0
        return q / bought, 1.0 + a / bought
    return start, 0.0


@compiled
def _log_q(pool: Stable, v: int, root: Reals, scale: float, log_q: float) -> float:
    """The log q at which log q + n·log n + Σ log y = 0, from a first guess."""
    n = pool.start[v + 1] - pool.start[v]
    low, high = -np.inf, np.inf
    x = log_q
    for _ in range(ROUNDS):
        f = x + n * np.log(n)
        slope = 1.0
        q = np.exp(x)
        for k in range(n):
            y, rise = _share(pool, v, k, root, scale, q)
            f += np.log(y)
            slope += 1.0 if rise > 0.0 else 0.0
        if f > 0.0:
            high = x
        else:
            low = x
        moved = x - f / slope
        if not low <= moved <= high:
            moved = 0.5 * (low + high)
        gone = abs(moved - x)
        x = moved
        if gone <= EXACT * max(1.0, abs(x)):
            break
    return float(x)


@compiled
def _bend_stable(pool: Stable, v: int, root: Reals, scale: float, q: float, weight: Reals) -> None:
    """Edge weights: how the worth traded of one asset answers the log price of another."""
    n = pool.start[v + 1] - pool.start[v]
    a = pool.amplification[v]
    count = steep = bend = slope = 0.0
    for k in range(n):
        y, rise = _share(pool, v, k, root, scale, q)
        if rise > 0.0:
            count += 1.0
            steep += rise
            bend += a * y
            slope += a * y * rise
    # (1 + count)·dq + steep·dλ = r_j and (bend − q)·dq + slope·dλ = a·y_j·r_j, in logs.
    determinant = (1.0 + count) * slope - (bend - q) * steep
    if determinant == 0.0:
        return
    e = 0
    for i in range(n):
        y_i, rise_i = _share(pool, v, i, root, scale, q)
        for j in range(i + 1, n):
            y_j, rise_j = _share(pool, v, j, root, scale, q)
            if rise_i > 0.0 and rise_j > 0.0:
                log_q = (rise_j * slope - steep * a * y_j * rise_j) / determinant
                log_scale = ((1.0 + count) * a * y_j - (bend - q)) * rise_j / determinant
                # The marginal worth of a share of asset i is λ·m, m = a + q/y.
                weight[e] = scale * (a + q / y_i) * y_i * (log_q + rise_i * log_scale)
            e += 1
