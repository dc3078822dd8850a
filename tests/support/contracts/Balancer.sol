// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.7.0;

import "@balancer-labs/v2-pool-weighted/contracts/WeightedMath.sol";
import "@balancer-labs/v2-pool-stable/contracts/StableMath.sol";
import "@balancer-labs/v2-vault/contracts/balances/BalanceAllocation.sol";

// What Balancer's pools do around their maths in a swap given in (BasePool, BaseGeneralPool and
// BaseMinimalSwapInfoPool.onSwap), and what the Vault does with the balances afterwards.
contract Frame {
    using FixedPoint for uint256;

    function _received(
        uint256 amount,
        uint256 fee,
        uint256 factor
    ) internal pure returns (uint256) {
        return FixedPoint.mulDown(amount.sub(amount.mulUp(fee)), factor);
    }

    function _settle(
        uint256 balanceIn,
        uint256 balanceOut,
        uint256 amountIn,
        uint256 amountOut
    ) internal view returns (uint256, uint256) {
        bytes32 a = BalanceAllocation.toBalance(balanceIn, 0, 0);
        bytes32 b = BalanceAllocation.toBalance(balanceOut, 0, 0);
        return (
            BalanceAllocation.total(BalanceAllocation.increaseCash(a, amountIn)),
            BalanceAllocation.total(BalanceAllocation.decreaseCash(b, amountOut))
        );
    }
}

contract Weighted is WeightedMath, Frame {
    // sides: balance, weight and scaling factor of what comes in, then of what goes out.
    function swap(
        uint256[6] calldata sides,
        uint256 fee,
        uint256 amountIn
    )
        external
        view
        returns (
            uint256 amountOut,
            uint256 balanceIn,
            uint256 balanceOut
        )
    {
        amountOut = FixedPoint.divDown(
            _calcOutGivenIn(
                FixedPoint.mulDown(sides[0], sides[2]),
                sides[1],
                FixedPoint.mulDown(sides[3], sides[5]),
                sides[4],
                _received(amountIn, fee, sides[2])
            ),
            sides[5]
        );
        (balanceIn, balanceOut) = _settle(sides[0], sides[3], amountIn, amountOut);
    }
}

contract Stable is StableMath, Frame {
    // terms: amplification, fee, places of what comes in and goes out, amount in.
    function swap(
        uint256[5] memory terms,
        uint256[] memory balances,
        uint256[] memory factors
    ) public view returns (uint256[3] memory result) {
        uint256[] memory scaled = new uint256[](balances.length);
        for (uint256 k = 0; k < balances.length; k++) {
            scaled[k] = FixedPoint.mulDown(balances[k], factors[k]);
        }
        uint256 received = _received(terms[4], terms[1], factors[terms[2]]);
        uint256 paid = _calcOutGivenIn(terms[0], scaled, terms[2], terms[3], received);
        result[0] = FixedPoint.divDown(paid, factors[terms[3]]);
        (result[1], result[2]) = _settle(
            balances[terms[2]],
            balances[terms[3]],
            terms[4],
            result[0]
        );
    }
}
