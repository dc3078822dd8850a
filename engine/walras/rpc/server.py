"""The gRPC server: all services, health and reflection."""

import os
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from walras.api.v1 import (
    auction_service_pb2,
    auction_service_pb2_grpc,
    fleet_service_pb2,
    fleet_service_pb2_grpc,
    intent_service_pb2,
    intent_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    log_service_pb2,
    log_service_pb2_grpc,
    market_service_pb2,
    market_service_pb2_grpc,
)
from walras.app.engine import Engine
from walras.rpc.auctions import AuctionService
from walras.rpc.fleet import FleetService
from walras.rpc.intents import IntentService
from walras.rpc.interceptor import ErrorInterceptor
from walras.rpc.log import LogService
from walras.rpc.market import LedgerService, MarketService
from walras.sdk.listening import listen_at

MAX_REQUEST_BYTES = 1 << 20
"""Room for 1,024 usual intents. Times the calls at once, it bounds what requests hold in memory."""
MAX_CALLS = 1_024

_SERVICES = (
    intent_service_pb2.DESCRIPTOR.services_by_name["IntentService"].full_name,
    auction_service_pb2.DESCRIPTOR.services_by_name["AuctionService"].full_name,
    market_service_pb2.DESCRIPTOR.services_by_name["MarketService"].full_name,
    ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name,
    log_service_pb2.DESCRIPTOR.services_by_name["LogService"].full_name,
    fleet_service_pb2.DESCRIPTOR.services_by_name["FleetService"].full_name,
)


async def start(engine: Engine, listen: str) -> tuple[grpc.aio.Server, str]:
    """Serve `engine` on `listen` (host:port, port 0 for any free one).

    Returns:
        The started server and its address; whoever started it stops it.

    Raises as `listen_at`.
    """
    server = grpc.aio.server(
        interceptors=[ErrorInterceptor()],
        maximum_concurrent_rpcs=MAX_CALLS,
        options=[("grpc.max_receive_message_length", MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)],
    )
    threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="verify")
    intent_service_pb2_grpc.add_IntentServiceServicer_to_server(
        IntentService(engine, threads), server
    )
    auction_service_pb2_grpc.add_AuctionServiceServicer_to_server(AuctionService(engine), server)
    market_service_pb2_grpc.add_MarketServiceServicer_to_server(
        MarketService(engine, threads), server
    )
    ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(
        LedgerService(engine, threads), server
    )
    log_service_pb2_grpc.add_LogServiceServicer_to_server(LogService(engine), server)
    fleet_service_pb2_grpc.add_FleetServiceServicer_to_server(FleetService(engine, threads), server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    for service in ("", *_SERVICES):
        await checks.set(service, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection(
        (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return server, await listen_at(server, listen)
