/**
 * Everything a newcomer needs in one package: contracts, services and the embedded durable broker.
 * Adapters for other brokers, protocols and databases are packages of their own.
 */
export * from "@waybill/broker";
export * from "@waybill/contracts";
export * from "@waybill/core";
