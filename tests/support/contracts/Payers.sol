// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.7.6;

// A token of which the pool under test is the only holder that counts. Its owner can always pay:
// what is held may fall below 0 and wraps around.
contract Token {
    uint256 public held;

    function balanceOf(address) external view returns (uint256) {
        return held;
    }

    function transfer(address, uint256 amount) external returns (bool) {
        held -= amount;
        return true;
    }

    function pay(uint256 amount) external {
        held += amount;
    }
}

interface Pool {
    function token0() external view returns (address);

    function token1() external view returns (address);

    function swap(
        address recipient,
        bool zeroForOne,
        int256 amountSpecified,
        uint160 sqrtPriceLimitX96,
        bytes calldata data
    ) external returns (int256 amount0, int256 amount1);
}

// Swaps an exact input against a Uniswap v3 pool, as its router does: as far as prices go.
contract Swapper {
    uint160 internal constant LOWEST = 4295128739 + 1;
    uint160 internal constant HIGHEST = 1461446703485210103287273052203988822378723970342 - 1;

    function swap(
        Pool pool,
        bool zeroForOne,
        int256 amountIn
    ) external returns (int256, int256) {
        return pool.swap(address(this), zeroForOne, amountIn, zeroForOne ? LOWEST : HIGHEST, "");
    }

    function uniswapV3SwapCallback(
        int256 amount0,
        int256 amount1,
        bytes calldata
    ) external {
        if (amount0 > 0) Token(Pool(msg.sender).token0()).pay(uint256(amount0));
        if (amount1 > 0) Token(Pool(msg.sender).token1()).pay(uint256(amount1));
    }
}
